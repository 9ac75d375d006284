"""XML out and in."""

import contextlib
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import S3Refusal
from amiable.wire.rest_xml import DEPTH_MAX, document, read
from amiable.wire.s3 import read_complete, read_create_bucket, read_delete

SAFE = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)


@given(SAFE)
def test_text_comes_back(text: str) -> None:
    root = read(document("Root", [("Key", text), ("None", None), ("Empty", []), ("Flag", True), ("N", 3)]), "Root")
    assert [(child.name, child.text) for child in root.children] == [
        ("Key", text),
        ("Empty", ""),
        ("Flag", "true"),
        ("N", "3"),
    ]


def test_a_carriage_return_and_other_controls_go_out_as_references() -> None:
    body = document("Root", [("Key", "a\rb\x01\tc")])
    assert b"a&#xD;b&#x1;\tc" in body
    assert ET.fromstring(document("Root", [("Key", "a\rb")])).findtext("{*}Key") == "a\rb"


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE Root><Root/>",
        b'<!DOCTYPE Root [<!ENTITY a "b">]><Root>&a;</Root>',
        b'<!DOCTYPE Root SYSTEM "http://example.org/x"><Root/>',
        b"<Root>&undefined;</Root>",
        b"<Other/>",
        b"",
        b"<Root/><Root/>",
        b"<Root>" * (DEPTH_MAX + 1) + b"</Root>" * (DEPTH_MAX + 1),
        b"\xff\xfe",
    ],
)
def test_hostile_documents_are_refused(body: bytes) -> None:
    with pytest.raises(S3Refusal) as caught:
        read(body, "Root")
    assert caught.value.code == "MalformedXML"


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for reader in (read_delete, read_complete, read_create_bucket):
        with contextlib.suppress(S3Refusal):
            reader(body)


def test_a_bucket_may_ask_for_a_location_in_two_spellings() -> None:
    for root in ("CreateBucketConfiguration", "CreateBucketConstraint"):
        assert read_create_bucket(f"<{root}><LocationConstraint>EU</LocationConstraint></{root}>".encode()) == "EU"
    assert read_create_bucket(b" ") == ""


def test_parts_are_read_with_their_checksums() -> None:
    body = b"""<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><ETag>"e"</ETag><PartNumber>2</PartNumber>
        <ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part></CompleteMultipartUpload>"""
    (part,) = read_complete(body)
    assert (part.number, part.etag) == (2, '"e"')
    assert part.checksum is not None and (part.checksum.algorithm, part.checksum.value) == ("CRC32", "AAAAAA==")
    for wrong in (b"-1", b"x", b"100000", b""):
        with pytest.raises(S3Refusal):
            read_complete(body.replace(b"<PartNumber>2<", b"<PartNumber>" + wrong + b"<"))
