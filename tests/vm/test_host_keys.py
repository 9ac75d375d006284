"""Host keys that a guest printed: found wherever they stand in the log, kept, and never added to."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.vm import console, host_keys
from amiable.vm.directory import Directory, make_directory, open_directory
from amiable.vm.host_keys import BEGIN, BLOCK_BYTES_MAX, END, HostKeys, Search, first_block

TRUE, LATER, OTHER = (f"SHA256:{letter * 43}" for letter in "abc")


def block(*fingerprints: str) -> bytes:
    """As cloud-init prints it."""
    lines = "".join(f"ec2: 256 {each} root@guest (ED25519)\r\n" for each in fingerprints).encode()
    return b"ec2: " + BEGIN + b"\r\n" + lines + b"ec2: " + END + b"\r\n"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    (tmp_path / "instances").mkdir()
    make_directory(tmp_path, "i-1", range(200_000, 200_001))
    with open_directory(tmp_path, "i-1") as directory:
        yield directory


def log(directory: Directory) -> Path:
    return directory.path / "console.log"


def write(directory: Directory, text: bytes) -> None:
    with log(directory).open("ab") as file:
        file.write(text)


@given(st.lists(st.sampled_from([BEGIN, END, TRUE.encode(), LATER.encode(), b"\n", b"noise " * 10])))
def test_the_first_complete_block_with_a_key_is_the_guests(pieces: list[bytes]) -> None:
    text = b" ".join(pieces)
    assert first_block(text + block(OTHER))
    found = first_block(text)
    assert found == first_block(text + block(OTHER)) or not found
    inside: list[bytes] | None = None
    expected: list[bytes] = []
    for piece in pieces:
        if piece == BEGIN:
            inside = []
        elif piece == END and inside:
            expected = inside
            break
        elif piece == END:
            inside = None
        elif inside is not None and piece.startswith(b"SHA256:"):
            inside.append(piece)
    assert [each.encode() for each in found] == expected


def test_a_block_has_bounds_and_a_hostile_log_costs_little() -> None:
    assert first_block(b"nothing yet") == () and first_block(BEGIN + TRUE.encode()) == ()
    assert first_block(BEGIN + b"x" * BLOCK_BYTES_MAX + TRUE.encode() + END) == ()
    assert first_block((BEGIN * 100_000) + (END * 100_000) + block(TRUE)) == (TRUE,)


def test_keys_stay_known_however_much_is_printed_after_them(directory: Directory) -> None:
    search = Search(boot=1)
    search.look(directory)
    write(directory, b"kernel\n" * 1000 + block(TRUE))
    write(directory, b"noise\n" * (128 << 10))
    assert host_keys.known_keys(directory, 1) == (TRUE,)  # beyond GetConsoleOutput's 64 KiB, kept by nobody yet
    search.look(directory)
    write(directory, b"n" * console.LOG_BYTES_MAX + block(LATER))
    assert console.bound(directory)
    search.begin_again()
    search.look(directory)
    assert host_keys.known_keys(directory, 1) == (TRUE,)
    anew = Search(boot=1)  # another server
    anew.look(directory)
    assert anew.is_done and host_keys.kept(directory) == HostKeys(1, (TRUE,))


def test_a_later_boot_that_prints_is_believed_and_one_that_does_not_changes_nothing(directory: Directory) -> None:
    for boot, printed, known in ((1, block(TRUE), TRUE), (2, b"booted\n", TRUE), (3, block(LATER, OTHER), LATER)):
        log(directory).write_bytes(b"")  # as each start does
        search = Search(boot)
        write(directory, printed)
        search.look(directory)
        assert host_keys.known_keys(directory, boot)[0] == known
    assert host_keys.kept(directory) == HostKeys(3, (LATER, OTHER))


@given(st.lists(st.integers(1, 400), max_size=12))
def test_a_block_is_found_in_whatever_pieces_it_comes(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    data = tmp_path_factory.mktemp("data")
    (data / "instances").mkdir()
    make_directory(data, "i-1", range(200_000, 200_001))
    text, search = block(TRUE) + b"noise" * 20 + block(LATER), Search(1)
    with open_directory(data, "i-1") as directory:
        places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
        for start, end in pairwise(places):
            write(directory, text[start:end])
            search.look(directory)
        assert host_keys.kept(directory) == HostKeys(1, (TRUE,))


def test_a_record_that_cannot_be_written_is_tried_again(directory: Directory) -> None:
    write(directory, block(TRUE))
    search, obstacle = Search(1), directory.path / host_keys.RECORD
    obstacle.mkdir()
    search.look(directory)
    assert not search.is_done and host_keys.known_keys(directory, 1) == (TRUE,)
    obstacle.rmdir()
    search.look(directory)
    assert search.is_done


def test_a_record_that_is_not_the_servers_own_counts_for_nothing(directory: Directory, tmp_path: Path) -> None:
    record = directory.path / host_keys.RECORD
    for body in (b"", b"[]", b"{}", b'{"boot": "x", "fingerprints": []}', b"\xff"):
        directory.keep(host_keys.RECORD, body)
        assert host_keys.kept(directory) is None
    host_keys.keep(directory, HostKeys(1, (TRUE,)))
    assert record.stat().st_mode & 0o777 == 0o600 and record.stat().st_uid == os.geteuid()
    os.link(record, directory.path / "another-name")
    assert host_keys.kept(directory) is None
    record.rename(tmp_path / "elsewhere")
    record.symlink_to(tmp_path / "elsewhere")
    assert host_keys.kept(directory) is None
