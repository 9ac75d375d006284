"""The sealed tables: what lies in them is refused by name, within bounds."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.bundle.assurance_tables import unseal
from amiable.bundle.recorder import BLOCKS_MAX
from amiable.model.errors import BundleRefusal
from amiable.model.units import MIB
from tests.bundle.assured import Made


def lying_tables(made: Made) -> Iterator[tuple[str, dict[str, Any]]]:
    """The sealed document with one thing wrong."""
    good = made.tables()
    extents, chunks, deflated, blocks = good["extents"], good["chunks"], good["deflated"], good["blocks"]
    for field in ("header_bytes", "extents", "chunks", "deflated", "blocks", "digests", "content_digest"):
        values: list[object] = [-1, "x", 1.5, [-1, 1], [1], [2**46, 1], ["x", "y"], [[1, 2]], b"x", {}]
        for value in values:
            yield f"{field} = {value!r}", good | {field: value}
    yield "no content digest", {key: value for key, value in good.items() if key != "content_digest"}
    yield "another content digest", good | {"content_digest": bytes(32)}
    yield "an extent beyond the image", good | {"extents": [*extents, 0, 2**40]}
    yield "an empty extent", good | {"extents": [*extents[:-2], 0, 0, *extents[-2:]]}
    yield "odd extents", good | {"extents": extents[:-1]}
    yield "a header larger than the stream", good | {"header_bytes": 2**44}
    yield "too few chunks", good | {"chunks": chunks[:-2]}
    yield "runs of far too many chunks", good | {"chunks": [MIB, 2**44]}
    yield "chunks too large to unpack", good | {"chunks": [2**30, len(deflated)]}
    yield "chunks too small", good | {"chunks": [1, len(deflated)]}
    yield "no chunk", good | {"chunks": [], "deflated": []}
    yield "a chunk of nothing packed", good | {"deflated": [0, *deflated[1:]]}
    yield "a chunk packed larger", good | {"deflated": [2**24, *deflated[1:]]}
    yield "one byte moved out", good | {"deflated": [*deflated[:-1], deflated[-1] + 16]}
    yield "blocks beyond the image", good | {"blocks": [*blocks, 2**40, 1], "digests": good["digests"] + bytes(32)}
    yield "blocks without digests", good | {"blocks": [0, BLOCKS_MAX * 4]}
    yield "a digest too many", good | {"digests": good["digests"] + bytes(32)}
    yield "a block moved", good | {"blocks": [blocks[0] + 1, *blocks[1:]]}


def test_tables_that_lie_are_refused_within_bounds(made: Made) -> None:
    tracemalloc.start()
    try:
        for name, document in lying_tables(made):
            if document == made.tables():
                continue
            with pytest.raises(BundleRefusal) as refused:
                unseal(made.sealed(document).sealed, *made.secrets, made.manifest)
            assert refused.value.stage == "assurance", name
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_sealed_bytes_of_any_kind_are_refused_by_name(made: Made, plain: bytes) -> None:
    for sealed in (plain, made.sealed(plain).sealed):
        with pytest.raises(BundleRefusal) as refused:
            unseal(sealed, *made.secrets, made.manifest)
        assert refused.value.stage == "assurance"


def test_deep_and_huge_numbers_of_messagepack_are_refused(made: Made) -> None:
    for plain in (
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\x81\xa7extents\xdd\xff\xff\xff\xff\x01",
        b"\xc6\xff\xff\xff\xff",
    ):
        with pytest.raises(BundleRefusal):
            unseal(made.sealed(plain).sealed, *made.secrets, made.manifest)
