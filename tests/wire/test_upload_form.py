"""Upload forms in pieces of any size."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import S3Refusal
from amiable.wire.upload_form import UploadForm

BOUNDARY = "xyz"
KIND = f'multipart/form-data; boundary="{BOUNDARY}"'


def body_of(fields: dict[str, str], file: bytes) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="C:\\a\\b.img"\r\n\r\n'.encode()
    after = f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="after"\r\n\r\nx\r\n--{BOUNDARY}--\r\n'.encode()
    return b"".join(parts) + head + file + after


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({cut % (len(body) + 1) for cut in cuts} | {len(body)})
    return [body[a:b] for a, b in zip([0, *ends], ends, strict=False) if b > a]


def read_head(form: UploadForm, chunks: Iterator[bytes]) -> None:
    while not form.has_file and (chunk := next(chunks, b"")):
        form.feed(chunk)
    form.check_file()


@given(
    st.dictionaries(st.sampled_from(["Key", "acl", "Policy"]), st.text(max_size=20).map(lambda t: t.replace("\r", ""))),
    st.binary(max_size=300) | st.just(b"\r\n--xy\r\n--xyz"[:-1] * 5),
    st.lists(st.integers(0, 1000), max_size=20),
)
def test_fields_and_file_are_the_same_however_they_come(fields: dict[str, str], file: bytes, cuts: list[int]) -> None:
    if b"\r\n--xyz" in b"\r\n" + file:
        return
    chunks = iter(pieces(body_of(fields, file), cuts))
    form = UploadForm(KIND)
    read_head(form, chunks)
    assert form.fields == {name.lower(): value for name, value in fields.items()}
    assert form.file_name == "b.img"
    assert b"".join(form.file(chunks)) == file


@given(st.binary(max_size=300), st.integers(0, 400))
def test_a_form_cut_short_or_garbage_is_refused_or_whole(garbage: bytes, cut: int) -> None:
    body = body_of({"key": "k"}, b"0123456789")
    for sent in (garbage, body[:cut], body[:cut] + garbage):
        form, chunks = UploadForm(KIND), iter([sent])
        try:
            read_head(form, chunks)
            assert b"".join(form.file(chunks)) == b"0123456789"
        except S3Refusal as refusal:
            assert refusal.code in ("IncompleteBody", "MalformedPOSTRequest", "InvalidArgument")


def named(file_name: bytes) -> UploadForm:
    form = UploadForm(KIND)
    head = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="' + file_name + b'"\r\n\r\n'
    form.feed(head + b"1\r\n--xyz--\r\n")
    return form


@pytest.mark.parametrize("name", ["a.img", "ä.img", "漢字.img"])
def test_a_file_name_is_utf_8_and_has_no_folder(name: str) -> None:
    assert named(name.encode()).file_name == named(f"a/../{name}".encode()).file_name == name


def test_a_file_name_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(S3Refusal, match="the file name is not UTF-8"):
        named(b"\xff")


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=" + "a" * 300])
def test_a_boundary_is_needed_and_bounded(kind: str) -> None:
    with pytest.raises(S3Refusal) as caught:
        UploadForm(kind)
    assert caught.value.code == "MalformedPOSTRequest"
