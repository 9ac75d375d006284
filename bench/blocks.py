"""The block store: ingest and read in MB per second and per CPU second, and NBD against nbdkit's file plugin where there is one.

    python bench/blocks.py [--data-mib 512] [--rounds 3] [--json]

The data are this host's own ``/usr``, so they compress as an operating system does.  Ingest is timed in batches of 128 blocks (an
import) and one block a call from eight threads (PutSnapshotBlock); ``again`` writes the same data into a second snapshot.  The
rounds interleave the kinds; the pages of the source are in memory.
"""

import argparse
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import insert

from amiable.blocks import nbd
from amiable.blocks.cache import VolumeBlocks
from amiable.blocks.store import BlockStore
from amiable.database import snapshots
from amiable.database.connect import Database
from amiable.database.schema import account, metadata
from amiable.model.snapshot import Snapshot
from amiable.model.units import BLOCK_BYTES, GIB, MIB

ACCOUNT = "000000000000"
BATCH = 128
WRITERS = 8


@dataclass(frozen=True, slots=True)
class Rate:
    """One run: megabytes (10⁶ bytes) a second of wall clock and of this process's CPU."""

    mb_per_second: float
    mb_per_cpu_second: float


def timed(size_bytes: int, run: Callable[[], None]) -> Rate:
    """The rate at which ``run`` handles ``size_bytes``."""
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Rate(size_bytes / 1e6 / (time.perf_counter() - wall), size_bytes / 1e6 / max(cpu, 1e-6))


def sample(size_bytes: int) -> list[bytes]:
    """Blocks of the bytes of files below ``/usr``, joined."""
    body = bytearray()
    for folder in ("/usr/lib", "/usr/bin", "/usr/share"):
        for path in sorted(Path(folder).rglob("*")):
            if len(body) >= size_bytes:
                break
            if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                body += path.read_bytes()[: 8 * MIB]
    count = min(len(body), size_bytes) // BLOCK_BYTES
    return [bytes(body[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES]) for at in range(count)]


@contextmanager
def new_store(folder: Path) -> Iterator[tuple[BlockStore, Callable[[str], str]]]:
    """An empty store, and a function that makes a pending snapshot."""
    database = Database(f"sqlite:///{folder}/amiable.db")
    metadata.create_all(database.engine)
    now = datetime.now(UTC)
    with database.write() as c:
        c.execute(insert(account).values(id=ACCOUNT, name="bench", is_administrator=False, created_at=now))

    def make(name: str) -> str:
        row = Snapshot(
            id=name, account_id=ACCOUNT, region="r", state="pending", size_gib=64, started_at=now, touched_at=now
        )
        with database.write() as c:
            snapshots.insert_snapshot(c, row)
        return name

    with closing(BlockStore.open(database, folder / "packs")) as store:
        yield store, make
    database.close()


def in_batches(store: BlockStore, snapshot: str, blocks: Sequence[bytes]) -> None:
    """An import."""
    for start in range(0, len(blocks), BATCH):
        store.write(snapshot, list(enumerate(blocks[start : start + BATCH], start)))


def one_by_one(store: BlockStore, snapshot: str, blocks: Sequence[bytes]) -> None:
    """PutSnapshotBlock by many workers: each block is durable before the next of its worker."""
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda item: store.write(snapshot, [item]), enumerate(blocks)))


def read_all(store: BlockStore, snapshot: str, count: int) -> None:
    """GetSnapshotBlock, one after the other."""
    for index in range(count):
        assert store.read(snapshot, index) is not None


def measure(blocks: Sequence[bytes]) -> dict[str, Rate]:
    """One round over a new store."""
    size = len(blocks) * BLOCK_BYTES
    rates: dict[str, Rate] = {}
    with tempfile.TemporaryDirectory() as name, new_store(Path(name)) as (store, make):
        rates["ingest, batches of 128"] = timed(size, lambda: in_batches(store, make("snap-1"), blocks))
        rates["ingest again (all known)"] = timed(size, lambda: in_batches(store, make("snap-2"), blocks))
        rates["complete"] = timed(size, lambda: store.complete("snap-1"))
        rates["read, verified"] = timed(size, lambda: read_all(store, "snap-1", len(blocks)))
        store.export_map("snap-1", Path(name) / "map")
        rates |= measure_nbd(Path(name), size)
    with tempfile.TemporaryDirectory() as name, new_store(Path(name)) as (store, make):
        rates["ingest, one a call, 8 threads"] = timed(size, lambda: one_by_one(store, make("snap-1"), blocks))
    return rates


def measure_nbd(folder: Path, size: int) -> dict[str, Rate]:
    """Reading the whole export with nbdcopy: first from the packs, then from the cache; and nbdkit over a plain file."""
    rates: dict[str, Rate] = {}
    slots = size // BLOCK_BYTES
    volume = VolumeBlocks(folder / "map", folder / "packs", folder / "cache", size, slots=slots)
    with closing(volume), serving(folder / "s", nbd.Export("v", size, volume.read, volume.extents)) as uri:
        rates["NBD, first read"] = timed(size, lambda: copy(uri))
        rates["NBD, from the cache"] = timed(size, lambda: copy(uri))
        if shutil.which("nbdkit"):
            shutil.copy(folder / "cache", folder / "plain")
            command = ["nbdkit", "-r", "-U", "-", "file", str(folder / "plain"), "--run", 'nbdcopy "$uri" null:']
            rates["nbdkit file plugin"] = timed(size, lambda: run(command))
    return rates


def run(command: list[str]) -> None:
    """Runs a program that must succeed."""
    subprocess.run(command, check=True)


def copy(uri: str) -> None:
    """Reads everything over one connection, and drops it."""
    run(["nbdcopy", "--connections=1", uri, "null:"])


@contextmanager
def serving(path: Path, export: nbd.Export) -> Iterator[str]:
    """The export on a UNIX socket, a thread a connection."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve(connection: socket.socket) -> None:
        with connection:
            nbd.serve(connection, export)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield f"nbd+unix:///{export.name}?socket={path}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    blocks = sample(min(given.data_mib * MIB, 8 * GIB))
    rounds = [measure(blocks) for _ in range(given.rounds)]
    median = {
        kind: Rate(
            statistics.median(r[kind].mb_per_second for r in rounds),
            statistics.median(r[kind].mb_per_cpu_second for r in rounds),
        )
        for kind in rounds[0]
    }
    if given.json:
        print(json.dumps({kind: asdict(rate) for kind, rate in median.items()}))
        return 0
    print(f"{len(blocks)} blocks, {len(blocks) * BLOCK_BYTES / 1e6:.0f} MB, median of {given.rounds} rounds\n")
    print(f"{'':32}{'MB/s':>8}{'MB per CPU s':>15}")
    for kind, rate in median.items():
        print(f"{kind:32}{rate.mb_per_second:8.0f}{rate.mb_per_cpu_second:15.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
