"""Becomes another program: records itself, enters an instance's namespaces, drops every right, execs.

Run as ``python -S -m amiable.vm.launcher JSON`` in a new session, with the instance's directory as descriptor 3; standard library
only.  The record (pid, start time, boot id) is durable *before* the program starts, and the directory's lock, which the server
took on descriptor 3, is inherited and held until then: however the server dies, no QEMU runs that a later server cannot find.
The pid stays the same through exec, and so does the start time.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import sys
from typing import Any

DIRECTORY = 3
READY = 4
CLONE_NEWNET = 0x40000000
CLONE_NEWUSER = 0x10000000
PR_SET_NO_NEW_PRIVS = 38
DESCRIPTORS_MAX = 65536


def boot_id() -> str:
    """This boot of the host."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def start_ticks(pid: int | str) -> int:
    """When the process started, in clock ticks since the host's boot (field 22 of its stat)."""
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def write_record(name: str, facts: dict[str, Any]) -> None:
    """Writes this process's record, durable, into the directory on descriptor 3; mode 0600, owned by who started us."""
    record = {"version": 1, "pid": os.getpid(), "start_ticks": start_ticks("self"), "boot_id": boot_id(), **facts}
    temp = name + ".new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temp, dir_fd=DIRECTORY)
    descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=DIRECTORY)
    with os.fdopen(descriptor, "w") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temp, name, src_dir_fd=DIRECTORY, dst_dir_fd=DIRECTORY)
    os.fsync(DIRECTORY)


def say_ready() -> None:
    """Tells the starter that all stands.  The number stays taken: what fails later is not told to a descriptor that got it since."""
    os.write(READY, b"ready\n")
    os.dup2(1, READY)


def say_failure(failure: Exception) -> None:
    """Tells a starter that still waits why there is nothing."""
    with contextlib.suppress(OSError):
        os.write(READY, f"cannot make or enter a network namespace: {failure}\n".encode(errors="backslashreplace"))


def libc_call(name: str, *arguments: int) -> None:
    """Calls a libc function that answers 0; raises OSError otherwise."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def close_all_but(kept: set[int]) -> None:
    """Closes every descriptor that is not in ``kept``."""
    names = os.listdir("/proc/self/fd")  # noqa: PTH208 - pathlib is not loaded here, and starting is to stay quick
    for number in map(int, names):
        if number not in kept:
            with contextlib.suppress(OSError):
                os.close(number)


def is_readable(descriptor: int, wait_seconds: float) -> bool:
    """Whether there is something to read within ``wait_seconds``, or an end; of a pidfd, whether its process has ended.

    ``select`` would take no descriptor above 1023.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(wait_seconds * 1000))


def raise_descriptor_limit() -> None:
    """Lets this process have as many open files as it may, up to ``DESCRIPTORS_MAX``: what it is given is meant for one that needs few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def leave_network() -> None:
    """Enters a network namespace with nothing in it: as root at once, otherwise inside a user namespace where we stay who we are."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        libc_call("unshare", CLONE_NEWNET)
        return
    libc_call("unshare", CLONE_NEWUSER | CLONE_NEWNET)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def drop_rights(uid: int | None, groups: list[int]) -> None:
    """Becomes ``uid`` for good (None: stays who we are); no exec may win rights again."""
    if uid is not None:
        os.setgroups(groups)
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    libc_call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def main(text: str) -> None:
    """Does what the JSON says; keys: argv, record, facts, namespaces (descriptors, outermost first), uid, groups, processes_max.

    ``processes_max`` (None: as it is) counts all threads of the uid, so it is for a uid of the instance's own.  ``taps``, where it
    is there, are descriptors that the program keeps; it is then put into an empty network namespace of its own.
    """
    what = json.loads(text)
    namespaces: list[int] = what["namespaces"]
    taps: list[int] = what.get("taps", [])
    close_all_but({0, 1, 2, DIRECTORY, *namespaces, *taps})
    os.fchdir(DIRECTORY)
    if what["record"]:
        write_record(what["record"], what["facts"])
    for descriptor in namespaces:
        libc_call("setns", descriptor, 0)
        os.close(descriptor)
    if taps:
        leave_network()
    drop_rights(what["uid"], what["groups"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if what["processes_max"] is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (what["processes_max"], what["processes_max"]))
    os.umask(0o077)
    fcntl.fcntl(DIRECTORY, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    os.execve(what["argv"][0], what["argv"], {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TMPDIR": "."})


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except OSError as error:
        sys.stderr.write(f"cannot start: {error}\n")
        sys.exit(127)
