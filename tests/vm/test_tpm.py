"""An instance's TPM: a real swtpm, no guest."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from amiable.model.hardware import Tpm
from amiable.rules import qemu_command
from amiable.rules.lifecycle import QEMU_ON_TPM
from amiable.rules.tpm_commands import TEMPLATES, der_of
from amiable.vm import machine, tpm
from amiable.vm.directory import LOG, Directory, locked, make_directory, open_directory
from amiable.vm.process import identity_of
from amiable.vm.qmp import QmpError, QmpGone
from amiable.vm.tpm import KEYS, TpmFailed, end_tpm, find_tpm, has_ended_alone, read_keys, start_tpm

INSTANCE = "i-0123456789abcdef0"
TPM = Tpm()
SECONDS_MAX = 60


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    (tmp_path / "instances").mkdir()
    make_directory(tmp_path, INSTANCE, range(220_000, 220_100))
    with open_directory(tmp_path, INSTANCE) as opened:
        opened.write(LOG, b"")
        yield opened
        end_tpm(opened)


def start(directory: Directory, program: str | None = None) -> None:
    """Starts it as the machine does."""
    found = program or shutil.which("swtpm")
    assert found is not None
    log = directory.open(LOG, os.O_WRONLY | os.O_APPEND)
    try:
        with locked(directory) as lock:
            start_tpm(directory, lock, log, found, TPM)
    finally:
        os.close(log)


def test_a_tpm_is_made_once_runs_with_its_instances_rights_and_is_found_again(directory: Directory) -> None:
    assert read_keys(directory) is None and find_tpm(directory) is None
    start(directory)
    keys, process = read_keys(directory), find_tpm(directory)
    assert keys is not None and process is not None
    for name, public in keys.items():
        assert der_of(name, public)
    if directory.uid is not None:
        owner = Path(f"/proc/{process.pid}").stat().st_uid
        assert owner == directory.uid
    assert (directory.path / TPM.state).stat().st_mode & 0o777 == 0o700

    start(directory)
    again = find_tpm(directory)
    assert again is not None and again.pid != process.pid and not process.is_alive()
    assert read_keys(directory) == keys
    end_tpm(directory)
    assert find_tpm(directory) is None and not again.is_alive()

    # the keys follow from the state alone: asked again, the same TPM gives the same ones; another one gives others
    (directory.path / KEYS).unlink()
    start(directory)
    assert read_keys(directory) == keys
    end_tpm(directory)
    (directory.path / KEYS).unlink()
    shutil.rmtree(directory.path / TPM.state)
    start(directory)
    others = read_keys(directory)
    assert others is not None and not set(others.values()) & set(keys.values())


def test_a_killed_tpm_is_not_taken_for_a_live_one(directory: Directory) -> None:
    start(directory)
    process = find_tpm(directory)
    assert process is not None
    assert process.end(wait_seconds=10, first=signal.SIGKILL)
    assert find_tpm(directory) is None
    start(directory)
    assert find_tpm(directory) is not None


@pytest.mark.parametrize("program", ["/bin/false", "/nonexistent/swtpm"])
def test_a_tpm_that_does_not_start_says_so(directory: Directory, program: str) -> None:
    with pytest.raises(TpmFailed, match="swtpm"):
        start(directory, program)
    assert find_tpm(directory) is None and read_keys(directory) is None


def test_what_a_guest_put_into_the_states_place_is_not_followed(directory: Directory, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (directory.path / TPM.state).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TpmFailed, match="no directory"):
        start(directory)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"rsa-2048": "zz", "ecc-sec-p384": ""}', b'{"rsa-2048": 1}'])
def test_keys_that_are_none_are_made_anew(directory: Directory, body: bytes) -> None:
    directory.keep(KEYS, body)
    assert read_keys(directory) is None
    assert set(TEMPLATES) == {"rsa-2048", "ecc-sec-p384"}
    assert tpm.KEYS_BYTES_MAX > 2000


def test_a_qemu_whose_tpm_has_ended_ends_at_a_reset_and_says_why(directory: Directory) -> None:
    """What a reboot without a TPM comes to: QEMU takes no other one (``chardev-change`` is refused), and does not survive the reset."""
    start(directory)
    process = find_tpm(directory)
    assert process is not None
    words = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35", "-accel", "tcg", "-m", "64M"]
    words += ["-display", "none", "-qmp", "unix:qmp.sock,server=on,wait=off"]
    words += [word for pair in qemu_command._tpm(TPM) for word in pair]
    with (directory.path / LOG).open("wb") as log, subprocess.Popen(words, cwd=directory.path, stderr=log) as running:
        try:
            found = identity_of(running.pid)
            with machine.monitor(directory, found, wait_seconds=SECONDS_MAX) as qmp:
                assert process.end(wait_seconds=SECONDS_MAX)
                assert has_ended_alone(directory)
                with pytest.raises(QmpError, match="hotswap"):
                    qmp.execute("chardev-change", id="tpm", backend=another_socket())
                with contextlib.suppress(QmpGone):
                    qmp.execute("system_reset")
            assert running.wait(SECONDS_MAX) != 0
        finally:
            running.kill()
    assert QEMU_ON_TPM in machine.last_words(directory)


def another_socket() -> dict[str, object]:
    """A backend like the TPM's, as if a new swtpm listened there."""
    return {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": TPM.socket}}, "server": False}}
