"""One instance's QEMU: its files, its start, its monitors, its end.

Order of a start: overlays → holder (namespace) → TPM → QEMU inside it → monitor answers.  Order of an end: QEMU → TPM → holder → records.  Both
are called with the instance's lock held (:func:`amiable.vm.directory.locked`), and both may be called again after any interruption.
"""

import contextlib
import grp
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from amiable.model.hardware import AcceleratorKind, Disk, Hardware, NetworkKind
from amiable.rules.qemu_command import (
    AGENT_SOCKET,
    APPLIANCE_LOG,
    SERCON_BYTES,
    SERCON_FILE,
    TAP_DESCRIPTOR,
    qemu_arguments,
)
from amiable.vm import network, patience, process, tpm
from amiable.vm.directory import LOG, Directory, peer_pid
from amiable.vm.launcher import boot_id, is_readable
from amiable.vm.process import HOLDER_RECORD, QEMU_RECORD, Process
from amiable.vm.qcow2 import empty_qcow2
from amiable.vm.qmp import Qmp, QmpError, QmpGone
from amiable.vm.tpm import TpmFailed

CONSOLE: Final = "console.log"
LAST_WORDS_BYTES_MAX: Final = 1000
START_SECONDS_MAX: Final = 60.0
PROCESSES_MAX: Final = 512
"""Threads of QEMU and, where it is in no namespace, one ``socat`` for each metadata connection that its guest opens."""
TOOL_SECONDS_MAX: Final = 60.0
QUIT_SECONDS_MAX: Final = 10.0
KILL_SECONDS_MAX: Final = 30.0
SILENT_SECONDS_MAX: Final = 5.0
"""How long a QEMU whose monitor has fallen silent may take to end, else it has not."""


class MachineFailed(Exception):
    """A machine could not be made or reached; the text is for the instance's owner."""


class MachineSilent(MachineFailed):
    """A machine that ended, or did not answer in time: whether it did what it was asked is not known."""


def find_program(name: str, package: str) -> str:
    """The program's path; raises MachineFailed where it is not installed."""
    found = shutil.which(name)
    if found is None:
        raise MachineFailed(f"{name} is not installed (Debian: apt-get install {package})")
    return str(Path(found).resolve())


def make_overlay(directory: Directory, disk: Disk) -> None:
    """The disk's qcow2 overlay, as long as the volume, unless it is there; whole or not at all."""
    if directory.exists(disk.overlay):
        return
    made = empty_qcow2(disk.size_bytes, f"nbd+unix:///?socket={disk.socket}" if disk.has_base else None)
    directory.put(disk.overlay, made.parts, made.file_bytes)


def run_tool(directory: Directory, argv: list[str]) -> None:
    """Runs one of QEMU's tools in the directory with the instance's rights; raises MachineFailed with its words."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    with os.fdopen(reading, "rb") as words:
        try:
            what: dict[str, Any] = {
                "argv": argv,
                "record": None,
                "facts": {},
                "namespaces": [],
                "uid": directory.uid,
                "groups": [],
                "processes_max": None,
            }
            pid = process.spawn("amiable.vm.launcher", what, directory=directory.descriptor, log=writing)
        finally:
            os.close(writing)
        tool = os.pidfd_open(pid)
        try:
            if not process.has_ended(tool, TOOL_SECONDS_MAX):
                signal.pidfd_send_signal(tool, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        finally:
            os.close(tool)
        said = words.read(LAST_WORDS_BYTES_MAX) if is_readable(words.fileno(), 0) else b""
    if status != 0:
        raise MachineFailed(
            f"{Path(argv[0]).name} failed: {said.decode(errors='replace').strip() or f'status {status}'}"
        )


def start_machine(
    directory: Directory, lock: int, hardware: Hardware, *, qemu: str, boot: int, taps: Callable[[], list[int]] = list
) -> Process:
    """QEMU running with its monitor answering.  ``boot`` counts the instance's boots and goes into the record.

    ``taps`` answers the tap of ``hardware.link``, which the caller closes.

    Raises MachineFailed or NetworkFailed; whatever was started is ended again.
    """
    program = find_program(qemu, "qemu-system-x86")
    if hardware.network is NetworkKind.GUESTFWD:
        find_program("socat", "socat")
    directory.write(SERCON_FILE, SERCON_BYTES)
    for name in ("qmp.sock", "qmp2.sock", "serial.sock", AGENT_SOCKET):
        directory.unlink(name)
    directory.write(CONSOLE, b"")
    directory.write(LOG, b"")
    if hardware.xen is not None:
        directory.write(APPLIANCE_LOG, b"")
    log = directory.open(LOG, os.O_WRONLY | os.O_APPEND)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, log)
        failed = undo.enter_context(contextlib.ExitStack())
        failed.callback(end_machine, directory)
        namespaces: list[int] = []
        if hardware.network is NetworkKind.NAMESPACE:
            network.start_holder(directory, lock, log)
            with network.Holder(directory) as holder:
                namespaces = holder.namespaces()
        for descriptor in namespaces:
            undo.callback(os.close, descriptor)
        if hardware.tpm is not None:
            try:
                tpm.start_tpm(directory, lock, log, find_program("swtpm", "swtpm"), hardware.tpm)
            except TpmFailed as error:
                raise MachineFailed(str(error)) from None
        passed = [*namespaces, *taps()]
        what = _told(hardware, [program, *qemu_arguments(hardware)], len(passed), boot=boot, uid=directory.uid)
        started = _spawn_qemu(directory, lock, what, passed=passed, log=log)
        with monitor(directory, started, wait_seconds=START_SECONDS_MAX) as qmp:
            qmp.execute("query-status")
        failed.pop_all()
        return started


def _told(hardware: Hardware, argv: list[str], passed_count: int, *, boot: int, uid: int | None) -> dict[str, Any]:
    """What the launcher is told: it makes of itself the QEMU of ``argv``, which finds its passed descriptors open."""
    numbers = list(range(process.PASSED, process.PASSED + passed_count))
    assert hardware.link is None or numbers == [TAP_DESCRIPTOR]
    groups = _kvm_groups() if hardware.accelerator is AcceleratorKind.KVM else []
    facts = {
        "boot": boot,
        "address": hardware.interface.address,
        "accelerator": hardware.accelerator.value,
        "network": hardware.network.value,
        "link": None if hardware.link is None else hardware.link._asdict(),
    }
    return {
        "argv": argv,
        "record": QEMU_RECORD,
        "facts": facts,
        "namespaces": numbers if hardware.link is None else [],
        "taps": [] if hardware.link is None else numbers,
        "uid": uid,
        "groups": groups,
        "processes_max": PROCESSES_MAX if uid is not None else None,
    }


def _spawn_qemu(directory: Directory, lock: int, what: dict[str, Any], *, passed: list[int], log: int) -> Process:
    pid = process.spawn("amiable.vm.launcher", what, directory=lock, log=log, passed=passed)
    found = process.wait_for_record(directory.descriptor, QEMU_RECORD, pid, wait_seconds=START_SECONDS_MAX)
    if found is None:
        raise MachineFailed(f"QEMU could not be started: {last_words(directory) or 'no words'}")
    return found


def _kvm_groups() -> list[int]:
    try:
        return [grp.getgrnam("kvm").gr_gid]
    except KeyError:
        return []


@contextlib.contextmanager
def monitor(
    directory: Directory, qemu: Process, name: str = "qmp.sock", *, wait_seconds: float = 10.0
) -> Iterator[Qmp]:
    """A QMP connection to ``qemu``, waiting for it to listen.

    Raises MachineSilent when it ends or does not answer, MachineFailed when it refuses a command.
    """
    qmp = open_monitor(directory, qemu, name, wait_seconds=wait_seconds)
    try:
        yield qmp
    except (QmpGone, TimeoutError) as error:
        raise MachineSilent(f"QEMU: {error}") from None
    except QmpError as error:
        raise MachineFailed(f"QEMU: {error}") from None
    finally:
        qmp.close()


def open_monitor(directory: Directory, qemu: Process, name: str, *, wait_seconds: float) -> Qmp:
    """As :func:`monitor`; the caller closes it."""
    deadline, wait = time.monotonic() + wait_seconds, patience.Wait(patience.GREETING_SECONDS)
    while True:
        try:
            connection = directory.connect(name, wait_seconds=max(0.1, deadline - time.monotonic()))
            break
        except OSError as error:
            if not qemu.is_alive():
                raise MachineSilent(f"QEMU ended: {last_words(directory) or 'without a word'}") from None
            if time.monotonic() > deadline:
                raise MachineSilent(f"QEMU's monitor does not answer: {error.strerror}") from None
            wait.look()
            time.sleep(0.02)
    with contextlib.ExitStack() as closing:
        closing.callback(connection.close)
        if peer_pid(connection) != qemu.pid:
            raise MachineFailed(f"{name} is not QEMU's")
        try:
            qmp = Qmp(connection, wait_seconds=wait_seconds)
        except (QmpError, QmpGone, TimeoutError) as error:
            words = f"QEMU ended: {last_words(directory)}" if not qemu.is_alive() else f"QEMU's monitor: {error}"
            raise MachineSilent(words) from None
        closing.pop_all()
    return qmp


def find_machine(directory: Directory) -> Process | None:
    """The instance's live QEMU; None when there is none."""
    found = process.read_record(directory.descriptor, QEMU_RECORD)
    return found if found is not None and found.is_alive() else None


def ended_with_host(directory: Directory) -> bool:
    """Whether the instance's QEMU was of an earlier boot of the host: it ended with that boot."""
    found = process.read_record(directory.descriptor, QEMU_RECORD)
    return found is not None and found.boot_id != boot_id()


def end_machine(directory: Directory) -> None:
    """Ends QEMU (asked first, so that it closes its disks; then killed), then its TPM and the holder, and forgets them."""
    qemu = process.read_record(directory.descriptor, QEMU_RECORD)
    if qemu is not None and qemu.is_alive():
        with contextlib.suppress(MachineFailed, QmpGone, QmpError, TimeoutError, OSError):
            with monitor(directory, qemu, wait_seconds=QUIT_SECONDS_MAX) as qmp:
                qmp.execute("quit")
        if not ends(qemu, QUIT_SECONDS_MAX) and not qemu.end(wait_seconds=KILL_SECONDS_MAX):
            raise MachineFailed(f"QEMU (process {qemu.pid}) does not end")
    process.remove_record(directory.descriptor, QEMU_RECORD)
    try:
        tpm.end_tpm(directory)
    except TpmFailed as error:
        raise MachineFailed(str(error)) from None
    holder = process.read_record(directory.descriptor, HOLDER_RECORD)
    if holder is not None and not holder.end(wait_seconds=KILL_SECONDS_MAX, first=signal.SIGTERM):
        raise MachineFailed(f"the network holder (process {holder.pid}) does not end")
    process.remove_record(directory.descriptor, HOLDER_RECORD)


def ends(qemu: Process, wait_seconds: float = SILENT_SECONDS_MAX) -> bool:
    """Whether the process has ended, or does so in time: one that ends closes its monitor before."""
    descriptor = qemu.open()
    if descriptor is None:
        return True
    try:
        return patience.ready(descriptor, wait_seconds) and not qemu.is_alive()
    finally:
        os.close(descriptor)


def last_words(directory: Directory) -> str:
    """What QEMU said last on its error output, in one line."""
    try:
        descriptor = directory.open(LOG, os.O_RDONLY)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(max(0, os.fstat(descriptor).st_size - LAST_WORDS_BYTES_MAX))
        lines = [
            line
            for line in file.read().decode(errors="replace").splitlines()
            if line.strip() and "warning:" not in line
        ]
    return "; ".join(line.strip() for line in lines[-3:])
