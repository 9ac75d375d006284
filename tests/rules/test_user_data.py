"""User data that is encoded already."""

import base64
import gzip

import pytest

from amiable.rules.user_data import looks_encoded


@pytest.mark.parametrize(
    "plain", [b"#!/bin/sh\necho\n", b"#cloud-config\n{}\n", gzip.compress(b"#!/bin/sh\n", mtime=0)]
)
def test_base64_of_what_guests_run_looks_encoded_and_the_thing_itself_does_not(plain: bytes) -> None:
    assert looks_encoded(base64.b64encode(plain)) and looks_encoded(base64.encodebytes(plain) + b"\n")
    assert not looks_encoded(plain)


@pytest.mark.parametrize("data", [b"", b"abcd", b"plain words", "\u00e9".encode(), base64.b64encode(b"words")])
def test_other_data_does_not(data: bytes) -> None:
    assert not looks_encoded(data)
