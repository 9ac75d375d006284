"""The exporter as a process: it serves what a store wrote, to the right peers, and outlives whoever started it."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from amiable.blocks.export_map import Entry, encode_map
from amiable.blocks.pack import Place, encode_block
from amiable.model.units import BLOCK_BYTES
from amiable.vm import exporter
from amiable.vm.exporter import ExporterUnavailable
from tests.support.exporters import exported_volumes, stop_exporter

SIZE = 8 * BLOCK_BYTES
WAIT_SECONDS_MAX = 30


def make_volume(data: Path, volume: str, blocks: dict[int, bytes]) -> Path:
    """A pack and a map of ``blocks``, written without the store."""
    for name in ("packs", "exports", "exporter", "i"):
        (data / name).mkdir(mode=0o700, exist_ok=True, parents=True)
    pack = volume.upper().ljust(26, "0")[:26]
    body, entries = b"", []
    for index, plain in sorted(blocks.items()):
        stored = encode_block(sha256(plain).digest(), plain, compress=index % 2 == 0)
        entries.append(Entry(index, stored.digest, Place(pack, len(body), len(stored.payload), stored.codec)))
        body += stored.record()
    (data / "packs" / pack).write_bytes(body)
    path = data / "exports" / f"{volume}.map"
    path.write_bytes(encode_map(SIZE, entries))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data directory whose exporter is ended at the end."""
    folder = tmp_path / ("a path that is much longer than a socket's address may be " * 3)
    folder.mkdir()
    yield folder
    if (folder / "exporter").exists():
        assert stop_exporter(folder)
        assert exporter.find(folder) is None


def read(path: Path, offset: int, length: int) -> bytes:
    """Bytes of an export by EXPORT_NAME and simple replies: a second, smaller reader of the protocol."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as client, contextlib.ExitStack() as stack:
            client.settimeout(WAIT_SECONDS_MAX)
            client.connect(f"/proc/self/fd/{folder}/{path.name}")
            stream = stack.enter_context(client.makefile("rb"))
            assert stream.read(18)[:16] == b"NBDMAGICIHAVEOPT"
            client.sendall((3).to_bytes(4, "big") + b"IHAVEOPT" + (1).to_bytes(4, "big") + bytes(4))
            stream.read(10)
            request = 0x25609513.to_bytes(4, "big") + bytes(4) + bytes(8)
            client.sendall(request + offset.to_bytes(8, "big") + length.to_bytes(4, "big"))
            magic, error = stream.read(4), int.from_bytes(stream.read(4), "big")
            assert magic == 0x67446698.to_bytes(4, "big")
            stream.read(8)
            if error:
                raise OSError(error, "NBD")
            return stream.read(length)
    finally:
        os.close(folder)


def wait_until(holds: Callable[[], bool]) -> None:
    """Waits for an event."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def noise(seed: int) -> bytes:
    """A block that does not compress."""
    return random.Random(seed).randbytes(BLOCK_BYTES)


def test_a_volume_is_served_and_a_larger_disk_ends_in_zeros(data: Path) -> None:
    path = make_volume(data, "vol-1", {0: noise(1), 2: b"ab" * (BLOCK_BYTES // 2)})
    exporter.add_export(
        data, exporter.Export("vol-1", path, data / "i" / "vol-1.nbd", os.getuid(), size_bytes=3 * SIZE)
    )
    whole = noise(1) + bytes(BLOCK_BYTES) + b"ab" * (BLOCK_BYTES // 2)
    assert read(data / "i" / "vol-1.nbd", 0, len(whole)) == whole
    assert read(data / "i" / "vol-1.nbd", 2 * SIZE, SIZE) == bytes(SIZE)
    with pytest.raises(OSError):
        read(data / "i" / "vol-1.nbd", 3 * SIZE - 1, 2)
    assert exported_volumes(data) == ["vol-1"]


def test_each_fetched_block_is_logged_once_with_its_time(data: Path) -> None:
    path = make_volume(data, "vol-1", {index: noise(index) for index in range(3)})
    exporter.add_export(data, exporter.Export("vol-1", path, data / "i" / "vol-1.nbd", os.getuid()))
    for _ in range(2):
        read(data / "i" / "vol-1.nbd", BLOCK_BYTES, BLOCK_BYTES + 1)
    lines = [line.split(" amiable.exporter: ") for line in (data / "exporter" / "log").read_text().splitlines()]
    assert [text for _, text in lines if " block " in text] == ["vol-1 block 1", "vol-1 block 2"]
    for place, _ in lines:
        written_at = datetime.strptime(place, "%Y-%m-%d %H:%M:%S,%f INFO").astimezone()
        assert datetime.now(UTC) - written_at < timedelta(minutes=5)


def test_a_killed_exporter_is_started_again_and_serves_the_same(data: Path) -> None:
    path = make_volume(data, "vol-1", {0: noise(1)})
    exporter.add_export(data, exporter.Export("vol-1", path, data / "i" / "vol-1.nbd", os.getuid()))
    first = exporter.ensure_running(data)
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: not first.is_alive())
    assert exporter.find(data) is None
    second = exporter.ensure_running(data)
    assert second.pid != first.pid
    assert exporter.ensure_running(data) == second
    assert read(data / "i" / "vol-1.nbd", 0, BLOCK_BYTES) == noise(1)


def test_qemu_waits_for_the_next_exporter_and_reads_on(data: Path, tmp_path: Path) -> None:
    path = make_volume(data, "vol-1", {0: b"\x01" * BLOCK_BYTES, 1: b"\x02" * BLOCK_BYTES})
    (tmp_path / "i").mkdir()
    exporter.add_export(data, exporter.Export("vol-1", path, tmp_path / "i" / "s", os.getuid()))
    options = f"driver=raw,file.driver=nbd,file.server.type=unix,file.server.path={tmp_path}/i/s,file.export=vol-1,file.reconnect-delay=60"
    command = ["qemu-io", "-r", "--image-opts", options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as client:
        assert client.stdin is not None and client.stdout is not None
        client.stdin.write("read -P 1 0 4096\n")
        assert any("read 4096/4096" in line for line in iter(client.stdout.readline, ""))
        first = exporter.ensure_running(data)
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: not first.is_alive())
        client.stdin.write(f"read -P 2 {BLOCK_BYTES} 4096\n")
        exporter.ensure_running(data)
        said, _ = client.communicate("quit\n", timeout=WAIT_SECONDS_MAX)
    assert "read 4096/4096" in said and "failed" not in said.lower() and client.returncode == 0


def test_an_exporter_that_hangs_is_ended_and_replaced(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spawn, answer_seconds_max = exporter._spawn, exporter.ANSWER_SECONDS_MAX

    def spawn_with_patience(data: Path, folder: Path) -> int:
        monkeypatch.setattr(exporter, "ANSWER_SECONDS_MAX", answer_seconds_max)
        return spawn(data, folder)

    make_volume(data, "vol-1", {})
    first = exporter.ensure_running(data)
    monkeypatch.setattr(exporter, "ANSWER_SECONDS_MAX", 0.3)
    monkeypatch.setattr(exporter, "_spawn", spawn_with_patience)
    os.kill(first.pid, signal.SIGSTOP)
    second = exporter.ensure_running(data)
    assert second.pid != first.pid and not first.is_alive()


def test_the_exporter_outlives_its_starter_and_holds_none_of_its_descriptors(data: Path, tmp_path: Path) -> None:
    path = make_volume(data, "vol-1", {0: noise(1)})
    program = """
import os, sys
from pathlib import Path
from amiable.vm import exporter
leak = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
os.set_inheritable(leak, True)
data = Path(sys.argv[1])
exporter.add_export(data, exporter.Export("vol-1", data / "exports" / "vol-1.map", data / "i" / "vol-1.nbd", os.getuid()))
print(exporter.find(data).pid)
"""
    leak = tmp_path / "server.lock"
    done = subprocess.run(
        [sys.executable, "-c", program, str(data), str(leak)], capture_output=True, text=True, check=True
    )
    pid = int(done.stdout)
    assert read(data / "i" / "vol-1.nbd", 0, BLOCK_BYTES) == noise(1)
    assert os.getsid(pid) == pid
    targets = []
    for path_ in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was just closed
            targets.append(str(path_.readlink()))
    assert str(leak) not in targets
    assert not [target for target in targets if target.endswith(".db")]
    assert path.exists()


def test_removing_an_export_removes_its_socket_and_cache(data: Path) -> None:
    path = make_volume(data, "vol-1", {0: noise(1)})
    socket_path = data / "i" / "vol-1.nbd"
    exporter.add_export(data, exporter.Export("vol-1", path, socket_path, os.getuid()))
    read(socket_path, 0, 10)
    assert (data / "exports" / "vol-1.cache").exists()
    exporter.remove_export(data, "vol-1")
    exporter.remove_export(data, "vol-1")
    assert not socket_path.exists() and not (data / "exports" / "vol-1.cache").exists()
    assert exported_volumes(data) == []
    assert not (data / "exporter" / "exports.json").exists()


def test_an_export_that_is_removed_while_no_exporter_runs_does_not_come_back(data: Path) -> None:
    path = make_volume(data, "vol-1", {0: noise(1)})
    exporter.add_export(data, exporter.Export("vol-1", path, data / "i" / "vol-1.nbd", os.getuid()))
    running = exporter.ensure_running(data)
    read(data / "i" / "vol-1.nbd", 0, 10)
    os.kill(running.pid, signal.SIGKILL)
    wait_until(lambda: not running.is_alive())
    exporter.remove_export(data, "vol-1")
    assert sorted(path.name for path in (data / "exports").iterdir()) == ["vol-1.map"]
    exporter.ensure_running(data)
    assert exported_volumes(data) == []


def test_a_map_that_was_written_anew_is_served_after_it_is_added_again(data: Path) -> None:
    path = make_volume(data, "vol-1", {0: noise(1)})
    socket_path = data / "i" / "vol-1.nbd"
    exporter.add_export(data, exporter.Export("vol-1", path, socket_path, os.getuid()))
    assert read(socket_path, 0, 9) == noise(1)[:9]
    exporter.add_export(data, exporter.Export("vol-1", path, socket_path, os.getuid()))
    make_volume(data, "vol-1", {0: noise(2)})
    exporter.add_export(data, exporter.Export("vol-1", path, socket_path, os.getuid()))
    assert read(socket_path, 0, 9) == noise(2)[:9]


def test_what_cannot_be_served_is_refused_with_the_cause(data: Path) -> None:
    path = make_volume(data, "vol-1", {0: noise(1)})
    with pytest.raises(ExporterUnavailable, match="exports folder"):
        exporter.add_export(data, exporter.Export("vol-1", Path("/etc/passwd"), data / "i" / "vol-1.nbd", 0))
    with pytest.raises(ExporterUnavailable, match="name of a volume"):
        exporter.add_export(data, exporter.Export("../x", path, data / "i" / "vol-1.nbd", 0))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ExporterUnavailable, match="length"):
        exporter.add_export(data, exporter.Export("vol-1", path, data / "i" / "vol-1.nbd", 0))
    with pytest.raises(ExporterUnavailable, match="No such file"):
        exporter.add_export(data, exporter.Export("vol-2", data / "exports" / "none.map", data / "i" / "vol-1.nbd", 0))
    assert exported_volumes(data) == []


def test_a_damaged_block_is_an_input_output_error_and_is_logged(data: Path) -> None:
    path = make_volume(data, "vol-1", {0: noise(1), 1: noise(2)})
    (pack,) = (data / "packs").iterdir()
    body = bytearray(pack.read_bytes())
    body[5000] ^= 4
    pack.write_bytes(body)
    exporter.add_export(data, exporter.Export("vol-1", path, data / "i" / "vol-1.nbd", os.getuid()))
    with pytest.raises(OSError, match="NBD") as caught:
        read(data / "i" / "vol-1.nbd", 0, 512)
    assert caught.value.errno == 5
    assert read(data / "i" / "vol-1.nbd", BLOCK_BYTES, BLOCK_BYTES) == noise(2)
    assert "failed: block 0: the bytes are not those" in (data / "exporter" / "log").read_text()


def test_only_the_instances_uid_ours_and_root_may_connect(data: Path) -> None:
    path = make_volume(data, "vol-1", {0: noise(1)})
    folder = data / "i"
    exporter.add_export(data, exporter.Export("vol-1", path, folder / "vol-1.nbd", 200_001))
    assert oct((folder / "vol-1.nbd").stat().st_mode)[-3:] == "666"
    assert oct((data / "exporter" / "control.sock").stat().st_mode)[-3:] == "600"
    program = "import os, socket, sys; os.setresuid(*[int(sys.argv[1])] * 3); s = socket.socket(socket.AF_UNIX); s.connect('/proc/self/fd/%s/vol-1.nbd' % sys.argv[2]); print(len(s.recv(18)))"
    uids = ((200_001, "18"), (200_002, "0")) if os.getuid() == 0 else ((os.getuid(), "18"),)
    for uid, length in uids:  # only root can become another
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        folder.chmod(0o711)
        try:
            command = [sys.executable, "-c", program, str(uid), str(descriptor)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, pass_fds=[descriptor])
        finally:
            os.close(descriptor)
        assert done.stdout.strip() == length
