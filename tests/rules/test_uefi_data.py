"""Stores of UEFI variables as EC2 hands them out: read, written, and refused; AWS's own tool is the oracle."""

import base64
import struct
import zlib

import pytest
from awscrt import checksums
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue
from amiable.model.uefi import GLOBAL, Variable, enforces_secure_boot
from amiable.rules.uefi_data import (
    LENGTH_MAX,
    STREAM_BYTES_MAX,
    VARIABLES_MAX,
    UnreadableStore,
    check_uefi_data,
    dictionary,
    read_uefi_data,
    write_uefi_data,
)
from tests.rules.uefi import ORDER, PLATFORM_KEY, as_awss_tool_reads, deflated, sealed, uefi_data

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40)
FIXED = st.binary(min_size=16, max_size=16)
SOME = st.none() | st.binary(min_size=32, max_size=32).filter(any)
PLAIN = st.builds(Variable, NAMES, FIXED, st.integers(0, 0x7F).map(lambda n: n & ~0x20), st.binary(max_size=300))
SIGNED = st.builds(
    Variable,
    NAMES,
    FIXED,
    st.just(0x27),
    st.binary(max_size=300),
    st.none() | FIXED.filter(any),
    SOME,
)
STORES = st.lists(PLAIN | SIGNED, max_size=12, unique_by=lambda it: (it.name, it.guid)).map(tuple)


def refusal_of(text: str) -> str:
    with pytest.raises(InvalidParameterValue) as caught:
        check_uefi_data(text, "hvm")
    assert caught.value.code == "InvalidParameterValue"
    return caught.value.message.removeprefix("The value for parameter UefiData is invalid. ")


def test_the_checksum_is_castagnolis() -> None:
    assert checksums.crc32c(b"123456789") == 0xE3069283


@given(variables=STORES)
def test_what_is_written_is_read_back(variables: tuple[Variable, ...]) -> None:
    assert read_uefi_data(write_uefi_data(variables)) == variables


@given(variables=STORES)
def test_awss_tool_reads_what_we_write_and_writes_what_we_read(variables: tuple[Variable, ...]) -> None:
    text = write_uefi_data(variables)
    theirs, written = as_awss_tool_reads(text)
    assert tuple(theirs) == variables
    assert read_uefi_data(written) == variables


def test_a_store_is_kept_as_it_came_without_its_line_breaks() -> None:
    text = uefi_data(ORDER, PLATFORM_KEY)
    assert check_uefi_data(text, "hvm") == text
    assert check_uefi_data("\n".join(text[i : i + 64] for i in range(0, len(text), 64)) + "\r\n", "hvm") == text


@given(at=st.integers(0, 10_000), change=st.integers(1, 255))
def test_a_store_with_one_changed_octet_is_refused(at: int, change: int) -> None:
    store = bytearray(base64.b64decode(uefi_data(ORDER, PLATFORM_KEY)))
    store[at % len(store)] ^= change
    refusal_of(base64.b64encode(store).decode())


@given(stream=st.binary(max_size=400) | st.binary(max_size=400).map(lambda it: struct.pack("<Q", 2) + it))
def test_a_hostile_stream_is_read_or_refused(stream: bytes) -> None:
    try:
        found = read_uefi_data(sealed(deflated(stream)))
    except UnreadableStore as error:
        assert str(error).endswith(".")
    else:
        assert read_uefi_data(write_uefi_data(found)) == found


def variable(name: bytes = b"a", data: bytes = b"", attributes: int = 7) -> bytes:
    """One variable of a stream."""
    return b"".join(
        [struct.pack("<Q", len(name)), name, struct.pack("<Q", len(data)), data, GLOBAL, struct.pack("<I", attributes)]
    )


def stream(*variables: bytes, count: int | None = None) -> str:
    """A sealed store of the variables, that says it has ``count``."""
    return sealed(deflated(struct.pack("<Q", len(variables) if count is None else count) + b"".join(variables)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Decoded, it does not begin with AMZNUEFI."),
        ("!!!!", "It is not base64: "),
        ("QUJD RA==", "It is not base64: "),
        ("QUJDRA", "It is not base64: "),
        ("é", "It is not base64: "),
        (base64.b64encode(b"AMZNUEFJ" + bytes(40)).decode(), "Decoded, it does not begin with AMZNUEFI."),
        (base64.b64encode(b"AMZNUEFI").decode(), "It is cut off."),
        (base64.b64encode(base64.b64decode(uefi_data())[:-1]).decode(), "Its checksum does not match"),
        (sealed(deflated(bytes(8)), version=1), "It is of version 1; 0 is known."),
        (sealed(b"\x78\xf9" + bytes(8)), "What follows its head is no zlib stream with EC2's dictionary."),
        (sealed(zlib.compress(bytes(8))), "What follows its head is no zlib stream with EC2's dictionary."),
        (sealed(deflated(bytes(8))[:-2]), "Its zlib stream is cut off, or followed by something else."),
        (sealed(deflated(bytes(8)) + b"x"), "Its zlib stream is cut off, or followed by something else."),
        (sealed(deflated(bytes(8))[:6] + b"\xff" * 9), "Its zlib stream is damaged."),
        (sealed(deflated(bytes(STREAM_BYTES_MAX + 1))), f"Inflated, it has more than {STREAM_BYTES_MAX} octets."),
        ("A" * (LENGTH_MAX + 4), f"It has {LENGTH_MAX + 4} characters, {LENGTH_MAX} at most."),
        (stream(count=1), "A variable reaches past its end."),
        (stream(variable(), count=0), "Something follows its last variable."),
        (stream(count=VARIABLES_MAX + 1), f"It says that it has {VARIABLES_MAX + 1} variables"),
        (stream(variable(), variable()), "It has a variable twice."),
        (stream(variable(b"\xff")), "A variable's name is not UTF-8."),
        (stream(variable(b"")), "A variable's name is not 1 to "),
        (stream(variable(b"a\0b")), "A variable's name is not 1 to "),
        (stream(variable(attributes=0x80)), "The variable 'a' has unknown attributes: 0x80."),
        (stream(variable(attributes=0x27)), "A variable reaches past its end."),
    ],
)
def test_what_no_firmware_could_read_is_refused_with_the_reason(text: str, why: str) -> None:
    assert refusal_of(text).startswith(why)


def test_the_longest_store_is_taken() -> None:
    fills = b"".join(dictionary()[::-1][: LENGTH_MAX // 8] for _ in range(2))
    assert check_uefi_data(uefi_data(Variable("Big", GLOBAL, 7, fills)), "hvm")


def test_a_platform_key_turns_secure_boot_on() -> None:
    assert enforces_secure_boot((ORDER, PLATFORM_KEY))
    assert not enforces_secure_boot((ORDER, Variable("PK", GLOBAL, 0x27, b""), Variable("PK", bytes(16), 7, b"x")))


def test_a_paravirtual_image_has_no_firmware_and_none_is_none() -> None:
    assert check_uefi_data(None, "paravirtual") is None
    with pytest.raises(InvalidParameterCombination, match="UefiData is for hvm images"):
        check_uefi_data(uefi_data(), "paravirtual")
