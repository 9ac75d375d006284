"""Packs: records, what is refused, and what a power cut may leave."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.blocks import pack as packs
from amiable.blocks.pack import HEADER, PackDamaged, Place, Stored, decode_block, encode_block, read_place, scan
from amiable.blocks.store import BlockStore
from amiable.database.connect import Database
from amiable.model.units import BLOCK_BYTES


def read_pack(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Written from docs/formats/pack.md alone: name and plain bytes of every block in a pack."""
    body = path.read_bytes()
    at = 0
    while body[at : at + 4] == b"BLK1" and at + 44 <= len(body):
        codec, key_id, zero, length, name = struct.unpack("<BBHI32s", body[at + 4 : at + 44])
        payload = body[at + 44 : at + 44 + length]
        if len(payload) < length:
            return
        assert key_id == 0 and zero == 0 and codec in (0, 1)
        plain = zstandard.decompress(payload) if codec == 1 else payload
        assert len(plain) == 524_288 and sha256(plain).digest() == name
        yield name, plain
        at += 44 + length


def test_a_reader_written_from_the_format_page_alone_reads_what_the_store_wrote(
    store: BlockStore, new_snapshot: Callable[..., str], tmp_path: Path
) -> None:
    blocks = [os.urandom(BLOCK_BYTES), b"compressible ".ljust(16) * (BLOCK_BYTES // 16), b"\xff" * BLOCK_BYTES]
    store.write(new_snapshot("snap-1"), [*enumerate(blocks), (9, bytes(BLOCK_BYTES))])
    (path,) = (tmp_path / "packs").iterdir()
    assert dict(read_pack(path)) == {sha256(plain).digest(): plain for plain in blocks}
    with path.open("ab") as file:
        file.write(b"BLK1" + bytes(20))
    assert len(list(read_pack(path))) == 3
    assert len(list(scan(path, path.stat().st_size - 24))) == 3


@settings(max_examples=25, deadline=None)
@given(seed=st.binary(max_size=64), repeated=st.booleans(), compress=st.booleans())
def test_what_a_record_holds_is_read_again(seed: bytes, repeated: bool, compress: bool) -> None:
    plain = (seed or b"\0") * BLOCK_BYTES if repeated else zstandard.compress(seed) * BLOCK_BYTES
    plain = plain[:BLOCK_BYTES]
    stored = encode_block(sha256(plain).digest(), plain, compress=compress)
    assert decode_block(stored.digest, stored.codec, stored.payload) == plain
    assert stored.codec == (packs.ZSTD if compress else packs.PLAIN)


def test_what_is_not_its_name_or_its_place_is_damaged(tmp_path: Path) -> None:
    plain = os.urandom(BLOCK_BYTES)
    stored = encode_block(sha256(plain).digest(), plain, compress=True)
    (tmp_path / "p").write_bytes(stored.record())
    place = Place("p", 0, len(stored.payload), stored.codec)
    assert read_place(tmp_path, place, stored.digest) == plain
    for wrong, digest in [
        (Place("p", 1, place.stored_length, place.codec), stored.digest),
        (Place("p", 0, place.stored_length - 1, place.codec), stored.digest),
        (Place("p", 0, place.stored_length + 1, place.codec), stored.digest),
        (Place("p", 0, place.stored_length, 1), stored.digest),
        (Place("q", 0, place.stored_length, place.codec), stored.digest),
        (place, bytes(32)),
    ]:
        with pytest.raises(PackDamaged):
            read_place(tmp_path, wrong, digest)


def test_a_compressed_block_that_would_unfold_to_more_is_not_unfolded() -> None:
    bomb = zstandard.compress(bytes(1 << 25))
    for payload in (bomb, b"not zstd", zstandard.compress(bytes(BLOCK_BYTES))[:-3], b""):
        with pytest.raises(PackDamaged):
            decode_block(sha256(bytes(1 << 25)).digest() if payload is bomb else bytes(32), packs.ZSTD, payload)
    with pytest.raises(PackDamaged, match="codec 7"):
        decode_block(bytes(32), 7, b"")


def test_a_scan_names_where_the_chain_breaks(tmp_path: Path) -> None:
    record = Stored(bytes(32), packs.PLAIN, b"x" * 10).record()
    path = tmp_path / "p"
    path.write_bytes(record * 3)
    assert [place.offset for _, place in scan(path, len(record) * 3)] == [0, 54, 108]
    with pytest.raises(PackDamaged, match="within the record at 108"):
        list(scan(path, len(record) * 3 - 1))
    path.write_bytes(record + b"x" + record)
    with pytest.raises(PackDamaged, match="no record at 54"):
        list(scan(path, len(record) * 2))


WRITER = """
import os, sys
from pathlib import Path
from amiable.blocks.store import BlockStore
from amiable.database.connect import Database
folder = Path(sys.argv[1])
store = BlockStore.open(Database(f"sqlite:///{folder}/amiable.db"), folder / "packs")
for number in range(int(sys.argv[2]), 1 << 30):
    plain = number.to_bytes(8, "big") * (524288 // 8) if number % 3 else os.urandom(524288)
    digests = store.write("snap-1", [(number, plain)])
    sys.stdout.buffer.write(number.to_bytes(8, "big") + digests[0])
    sys.stdout.buffer.flush()
"""


def test_every_acknowledged_block_is_there_after_kill_9(
    database: Database, new_snapshot: Callable[..., str], tmp_path: Path
) -> None:
    snapshot = new_snapshot("snap-1", size_gib=64)
    acknowledged: dict[int, bytes] = {}
    for count in (3, 17, 30):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(len(acknowledged))]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            lines = writer.stdout
            assert lines is not None
            until = len(acknowledged) + count
            while len(acknowledged) < until:
                line = lines.read(40)
                assert len(line) == 40
                acknowledged[int.from_bytes(line[:8], "big")] = line[8:]
            writer.kill()
            for line in iter(partial(lines.read, 40), b""):
                if len(line) == 40:
                    acknowledged[int.from_bytes(line[:8], "big")] = line[8:]
        store = BlockStore.open(database, tmp_path / "packs")
        found = dict(store.blocks_of(snapshot))
        assert all(found[index] == digest for index, digest in acknowledged.items())
        for index in acknowledged:
            plain = store.read(snapshot, index)
            assert plain is not None and sha256(plain).digest() == acknowledged[index]
        for path in (tmp_path / "packs").iterdir():
            assert list(scan(path, path.stat().st_size))  # every pack that remains is whole records
        store.close()


TRACED = """
import os, sys
from pathlib import Path
from amiable.api import ebs as api
from amiable.wire.generated import ebs
import base64, hashlib
from tests.support.services import make_account, open_services
with open_services(Path(sys.argv[1])) as services:
    principal = make_account(services)[1]
    snapshot = api.start_snapshot(services, principal, ebs.StartSnapshotRequest(volume_size=1)).snapshot_id
    for index in range(3):
        data = os.urandom(524288)
        checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
        request = ebs.PutSnapshotBlockRequest(snapshot_id=snapshot, block_index=index, block_data=data, data_length=len(data), checksum=checksum, checksum_algorithm="SHA256")
        os.write(1, b"BEGIN PUT")
        api.put_snapshot_block(services, principal, request)
        os.write(1, b"201 CREATED")
"""


def test_put_snapshot_block_answers_only_after_fdatasync_of_pack_and_rows(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-qq", "-e", "trace=write,pwrite64,fsync,fdatasync", "-s", "16", "-o", str(trace)]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [*command, sys.executable, "-c", TRACED, str(tmp_path / "data")],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    puts = trace.read_text().split('"BEGIN PUT"')[1:]
    assert len(puts) == 3
    for put in puts:
        before_answer = put.split('"201 CREATED"')[0].splitlines()
        bytes_at = last(before_answer, "pwrite64(", "/packs/")
        bytes_durable_at = last(before_answer, "fdatasync(", "/packs/")
        facts_at = last(before_answer, "pwrite64(", "amiable.db-wal")
        facts_durable_at = max(
            last(before_answer, "fdatasync(", "amiable.db-wal"), last(before_answer, "fsync(", "amiable.db-wal")
        )
        assert 0 <= bytes_at < bytes_durable_at < facts_at < facts_durable_at


def last(lines: list[str], call: str, name: str) -> int:
    """The last line with this call on a file of this name; -1 without one."""
    return max((at for at, line in enumerate(lines) if call in line and name in line), default=-1)


def test_the_header_is_44_bytes() -> None:
    assert HEADER.size == 44
