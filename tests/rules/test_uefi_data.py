"""What is taken for a store of UEFI variables."""

import base64
import struct
import zlib

import pytest
from awscrt import checksums
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue
from amiable.rules.uefi_data import LENGTH_MAX, check_uefi_data
from tests.rules.uefi import uefi_data


def refusal_of(text: str) -> str:
    with pytest.raises(InvalidParameterValue) as caught:
        check_uefi_data(text, "hvm")
    assert caught.value.code == "InvalidParameterValue"
    return caught.value.message.removeprefix("The value for parameter UefiData is invalid. ")


def test_the_checksum_is_castagnolis() -> None:
    assert checksums.crc32c(b"123456789") == 0xE3069283


@given(body=st.binary(min_size=1, max_size=2000))
def test_a_store_is_taken_as_it_is_and_one_changed_octet_is_not(body: bytes) -> None:
    text = uefi_data(body)
    assert check_uefi_data(text, "hvm") == text
    assert check_uefi_data("\n".join(text[i : i + 64] for i in range(0, len(text), 64)) + "\r\n", "hvm") == text
    store = bytearray(base64.b64decode(text))
    store[-1] ^= 1
    assert "checksum" in refusal_of(base64.b64encode(store).decode())


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
        (base64.b64encode(base64.b64decode(uefi_data(b"x" * 9))[:-1]).decode(), "Its checksum does not match"),
        (uefi_data(version=1), "It is of version 1; 0 is known."),
        (uefi_data(dictionary_id=1), "What follows its head is no zlib stream with EC2's dictionary."),
        ("A" * (LENGTH_MAX + 4), f"It has {LENGTH_MAX + 4} characters, {LENGTH_MAX} at most."),
    ],
)
def test_what_no_firmware_could_read_is_refused_with_the_reason(text: str, why: str) -> None:
    assert refusal_of(text).startswith(why)


def test_a_stream_without_a_preset_dictionary_is_refused() -> None:
    rest = struct.pack("<I", 0) + zlib.compress(b"variables")
    text = base64.b64encode(b"AMZNUEFI" + struct.pack("<I", checksums.crc32c(rest)) + rest).decode()
    assert refusal_of(text).startswith("What follows its head")


def test_the_longest_store_is_taken() -> None:
    text = uefi_data(bytes(LENGTH_MAX // 4 * 3 - 22))
    assert len(text) == LENGTH_MAX
    assert check_uefi_data(text, "hvm") == text


def test_a_paravirtual_image_has_no_firmware_and_none_is_none() -> None:
    assert check_uefi_data(None, "paravirtual") is None
    with pytest.raises(InvalidParameterCombination, match="UefiData is for hvm images"):
        check_uefi_data(uefi_data(), "paravirtual")
