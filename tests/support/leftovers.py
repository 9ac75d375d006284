"""What a test may leave behind in the kernel, and must not: processes, their namespaces, sockets, mounts."""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

END_SECONDS_MAX = 20.0


@dataclass(frozen=True)
class Leftovers:
    """Processes (pid → words), network namespaces, bound UNIX sockets and mounts that have to do with a folder, or with us."""

    processes: frozenset[tuple[int, str]]
    namespaces: frozenset[str]
    sockets: frozenset[str]
    mounts: frozenset[str]

    def since(self, before: "Leftovers") -> dict[str, list[str]]:
        """What is there now and was not there ``before``, by kind; empty when all is gone."""
        found = {
            "processes": sorted(f"{pid}: {words}" for pid, words in self.processes - before.processes),
            "network namespaces": sorted(self.namespaces - before.namespaces),
            "sockets": sorted(self.sockets - before.sockets),
            "mounts": sorted(self.mounts - before.mounts),
        }
        return {kind: things for kind, things in found.items() if things}


def look(folder: Path) -> Leftovers:
    """All that is below ``folder``, or is a child of this process, or is a namespace with a name.

    A TCP socket is held by a process and a namespace without a name by the processes in it: where no process is left, neither is.
    """
    processes = {pid: words for pid, words in _processes().items() if _is_ours(pid, words, folder)}
    return Leftovers(
        processes=frozenset(processes.items()),
        namespaces=frozenset(filter(None, map(_foreign_namespace, processes))),
        sockets=frozenset(_unix_sockets(folder)),
        mounts=frozenset(_mounts(folder)),
    )


def wait_for_none(before: Leftovers, folder: Path) -> dict[str, list[str]]:
    """What is still left after everything that was ending has had its time."""
    until = time.monotonic() + END_SECONDS_MAX
    while True:
        left = look(folder).since(before)
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.2)


def _processes() -> dict[int, str]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                found[int(entry.name)] = words or (entry / "comm").read_text().strip()
    return found


def _is_ours(pid: int, words: str, folder: Path) -> bool:
    with contextlib.suppress(OSError):
        place = str(Path(f"/proc/{pid}/cwd").readlink())
        names = [f"{place}/".startswith(f"{folder}/"), f"{folder}/" in words, _parent(pid) == os.getpid()]
        return any(names) and not _is_ancestor(pid)
    return False


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _is_ancestor(pid: int) -> bool:
    ancestor = os.getppid()
    while ancestor > 1 and ancestor != pid:
        ancestor = _parent(ancestor)
    return ancestor == pid


def _foreign_namespace(pid: int) -> str | None:
    with contextlib.suppress(OSError):
        there = str(Path(f"/proc/{pid}/ns/net").readlink())
        return there if there != str(Path("/proc/self/ns/net").readlink()) else None
    return None


def _unix_sockets(folder: Path) -> list[str]:
    lines = (line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:])
    return [words[7] for words in lines if len(words) > 7 and words[7].startswith(f"{folder}/")]


def _mounts(folder: Path) -> list[str]:
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [point for point in points if point.startswith((f"{folder}/", "/run/netns/", "/var/run/netns/"))]
