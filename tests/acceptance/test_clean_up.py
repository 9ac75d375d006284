"""What watches over the acceptance tests sees each thing that they could leave, and is quiet when it is gone."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import leftovers


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a UNIX socket's ends at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="amiable-left-") as name:
        yield Path(name)


def test_a_child_and_a_stranger_in_the_folder_are_seen(folder: Path) -> None:
    before = leftovers.look(folder)
    child = subprocess.Popen(["sleep", "60"])
    orphan = "import os, time\nif os.fork() == 0:\n os.setsid()\n print(os.getpid(), flush=True)\n os.close(1)\n time.sleep(60)"
    done = subprocess.run([sys.executable, "-c", orphan], cwd=folder, stdout=subprocess.PIPE, check=True, timeout=60)
    stranger = int(done.stdout)
    try:
        seen = leftovers.look(folder).since(before)["processes"]
        assert {words.partition(":")[0] for words in seen} == {str(child.pid), str(stranger)}
    finally:
        child.kill()
        child.wait(60)
        os.kill(stranger, 9)
    assert leftovers.wait_for_none(before, folder) == {}


def test_a_network_namespace_of_a_process_is_seen(folder: Path) -> None:
    before = leftovers.look(folder)
    command = ["unshare", "-n" if os.geteuid() == 0 else "-Urn", "sh", "-c", "echo there; exec sleep 60"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.readline() == b"there\n"
        assert len(leftovers.look(folder).since(before)["network namespaces"]) == 1
    finally:
        child.kill()
        child.communicate(timeout=60)
    assert leftovers.wait_for_none(before, folder) == {}


def test_a_bound_socket_is_seen(folder: Path) -> None:
    before = leftovers.look(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        assert leftovers.look(folder).since(before) == {"sockets": [str(folder / "socket")]}
    assert leftovers.look(folder).since(before) == {}


def test_a_mount_is_seen(folder: Path) -> None:
    before = leftovers.look(folder)
    place = folder / "disk"
    place.mkdir()
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from tests.support import leftovers;"
        "print(*leftovers.look(Path(sys.argv[2])).mounts)"
    )
    inside = [
        "unshare",
        "-m" if os.geteuid() == 0 else "-Urm",
        "sh",
        "-c",
        'mount -t tmpfs none "$0" && exec "$@"',
        str(place),
    ]
    look = [sys.executable, "-c", script, str(Path(__file__).parents[2]), str(folder)]
    done = subprocess.run([*inside, *look], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == [str(place)], done.stderr
    assert leftovers.look(folder).since(before) == {}
