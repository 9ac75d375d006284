"""An instance's TPM: a swtpm process of its own beside its QEMU, with the instance's rights, its state in the instance's directory.

    tpm/            its state (NVRAM, seeds); never part of an image    tpm.sock    where QEMU finds it
    tpm.json        the process's record                                tpm-keys    its endorsement keys, public (the server's uid)

The first start makes the TPM and asks it for its endorsement keys, so that they can be told before the guest ran.  It is started
before QEMU and ended after it.
"""

import contextlib
import json
import os
import signal
import socket
import stat
import time
from typing import Any, Final

from amiable.model.hardware import Tpm
from amiable.rules import tpm_commands
from amiable.rules.tpm_commands import HEAD, RESPONSE_BYTES_MAX, TEMPLATES, TpmAnswer
from amiable.vm import process
from amiable.vm.directory import Directory
from amiable.vm.process import Process

RECORD: Final = "tpm.json"
KEYS: Final = "tpm-keys"
KEYS_BYTES_MAX: Final = 16 * 1024
SETUP_SOCKET: Final = "tpm-setup.sock"
START_SECONDS_MAX: Final = 30.0
ANSWER_SECONDS_MAX: Final = 60.0
"""Two key pairs are made, on a host that may be busy."""
END_SECONDS_MAX: Final = 10.0


class TpmFailed(Exception):
    """A TPM could not be made or started; the text is for the instance's owner."""


def start_tpm(directory: Directory, lock: int, log: int, program: str, tpm: Tpm) -> None:
    """A fresh swtpm process that waits for QEMU; the first time the TPM is made as well.  Raises TpmFailed."""
    end_tpm(directory)
    _make_state(directory, tpm)
    common = [program, "socket", "--tpm2", "--tpmstate", f"dir={tpm.state},mode=0600"]
    try:
        if read_keys(directory) is None:
            flags = ["--flags", "not-need-init,startup-clear", "--terminate"]
            _spawn(directory, lock, log, [*common, "--server", f"type=unixio,path={SETUP_SOCKET}", *flags])
            with contextlib.closing(_connect(directory, SETUP_SOCKET)) as connection:
                keys = _ask_for_keys(connection)
            end_tpm(directory)
            directory.keep(KEYS, json.dumps({name: key.hex() for name, key in keys.items()}).encode())
        directory.unlink(tpm.socket)
        _spawn(directory, lock, log, [*common, "--ctrl", f"type=unixio,path={tpm.socket},mode=0600"])
        _connect(directory, tpm.socket).close()
    except (OSError, TpmAnswer) as error:
        end_tpm(directory)
        raise TpmFailed(f"the TPM could not be started: {error}") from None


def end_tpm(directory: Directory) -> None:
    """Ends the TPM's process, where there is one, and forgets it; it has its state on disk after each command."""
    found = process.read_record(directory.descriptor, RECORD)
    if found is not None and not found.end(wait_seconds=END_SECONDS_MAX, first=signal.SIGTERM):
        raise TpmFailed(f"the TPM (process {found.pid}) does not end")
    process.remove_record(directory.descriptor, RECORD)


def find_tpm(directory: Directory) -> Process | None:
    """The instance's live TPM process; None when there is none."""
    found = process.read_record(directory.descriptor, RECORD)
    return found if found is not None and found.is_alive() else None


def has_ended_alone(directory: Directory) -> bool:
    """Whether a TPM of the instance ended that nobody ended here."""
    found = process.read_record(directory.descriptor, RECORD)
    return found is not None and not found.is_alive()


def read_keys(directory: Directory) -> dict[str, bytes] | None:
    """TPMT_PUBLIC of each endorsement key, by EC2's name of its type; None before the first boot."""
    body = directory.kept(KEYS, KEYS_BYTES_MAX)
    if body is None:
        return None
    try:
        found = json.loads(body)
        return {name: bytes.fromhex(found[name]) for name in TEMPLATES}
    except (ValueError, KeyError, TypeError):
        return None


def _make_state(directory: Directory, tpm: Tpm) -> None:
    """The directory of the TPM's state; where something else lies in its place, nothing is touched."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(tpm.state, 0o700, dir_fd=directory.descriptor)
        if directory.uid is not None:
            os.chown(tpm.state, directory.uid, directory.uid, dir_fd=directory.descriptor, follow_symlinks=False)
    if not stat.S_ISDIR(os.stat(tpm.state, dir_fd=directory.descriptor, follow_symlinks=False).st_mode):
        raise TpmFailed("what lies in the place of the TPM's state is no directory")


def _spawn(directory: Directory, lock: int, log: int, argv: list[str]) -> None:
    directory.unlink(SETUP_SOCKET)
    what: dict[str, Any] = {
        "argv": argv,
        "record": RECORD,
        "facts": {},
        "namespaces": [],
        "uid": directory.uid,
        "groups": [],
        "processes_max": None,
    }
    pid = process.spawn("amiable.vm.launcher", what, directory=lock, log=log)
    if process.wait_for_record(directory.descriptor, RECORD, pid, wait_seconds=START_SECONDS_MAX) is None:
        raise TpmFailed("swtpm could not be started")


def _connect(directory: Directory, name: str) -> socket.socket:
    """A connection to the TPM's process, waiting for it to listen."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            return directory.connect(name)
        except OSError:
            if find_tpm(directory) is None:
                raise TpmFailed("swtpm ended at once") from None
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _ask_for_keys(connection: socket.socket) -> dict[str, bytes]:
    connection.settimeout(ANSWER_SECONDS_MAX)
    keys = {}
    for name in TEMPLATES:
        connection.sendall(tpm_commands.create_primary(name))
        keys[name] = tpm_commands.public_part(_receive(connection))
        tpm_commands.der_of(name, keys[name])
    return keys


def _receive(connection: socket.socket) -> bytes:
    answer = b""
    while len(answer) < HEAD.size or len(answer) < HEAD.unpack_from(answer)[1]:
        chunk = connection.recv(RESPONSE_BYTES_MAX)
        if not chunk or len(answer) + len(chunk) > RESPONSE_BYTES_MAX:
            raise TpmAnswer("the TPM's answer has no end")
        answer += chunk
    return answer
