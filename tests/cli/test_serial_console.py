"""Keys on their way to a guest: the two ways out are found however the bytes come, all else arrives as typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.cli.serial_console import Keys


def typed(*pieces: bytes) -> tuple[bytes, bool]:
    keys, out = Keys(), b""
    for piece in pieces:
        data, is_over = keys.take(piece)
        out += data
        if is_over:
            return out, True
    return out, False


@pytest.mark.parametrize(
    ("pieces", "arrives", "is_over"),
    [
        ((b"ls\r",), b"ls\r", False),
        ((b"\x03\x04\x1a",), b"\x03\x04\x1a", False),
        ((b"ls\x1dnever",), b"ls", True),
        ((b"~.",), b"", True),
        ((b"ls\r~", b"."), b"ls\r", True),
        ((b"ls ~.\r",), b"ls ~.\r", False),
        ((b"~~.",), b"~.", False),
        ((b"~x",), b"~x", False),
        ((b"cd ~", b"/x"), b"cd ~/x", False),
    ],
    ids=[
        "a line",
        "control keys",
        "escape",
        "tilde",
        "tilde later",
        "inside a line",
        "two tildes",
        "no way out",
        "a home",
    ],
)
def test_what_is_typed_arrives_until_the_way_out(pieces: tuple[bytes, ...], arrives: bytes, is_over: bool) -> None:
    assert typed(*pieces) == (arrives, is_over)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_pieces_make_no_difference(pieces: list[bytes]) -> None:
    assert typed(*pieces) == typed(b"".join(pieces))
