"""The firmware's own file of variables: Debian's templates read and written, and files that a guest may have spoiled refused."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.model.uefi import GLOBAL, IMAGE_SECURITY, Variable, enforces_secure_boot
from amiable.rules.uefi_data import UnreadableStore, read_uefi_data, write_uefi_data
from amiable.rules.uefi_store import (
    ADDED,
    BEING_REPLACED,
    CERTDB,
    VARIABLE,
    VARIABLES_AT,
    read_store,
    write_store,
)
from tests.rules.test_uefi_data import STORES
from tests.rules.uefi import ORDER, PLATFORM_KEY, as_awss_tool_reads

OVMF = Path("/usr/share/OVMF")
BLANK = (OVMF / "OVMF_VARS_4M.fd").read_bytes()
ENROLLED = (OVMF / "OVMF_VARS_4M.ms.fd").read_bytes()


def storable(variables: tuple[Variable, ...]) -> tuple[Variable, ...]:
    """Those that the firmware's own list of signers does not stand in the way of."""
    return tuple(it for it in variables if (it.name, it.guid) != CERTDB)


@settings(max_examples=50)
@given(variables=STORES.map(storable))
def test_what_is_written_is_read_back(variables: tuple[Variable, ...]) -> None:
    file = write_store(BLANK, variables)
    assert len(file) == len(BLANK)
    assert read_store(file) == variables
    assert read_store(write_store(file, ())) == ()


def test_debians_templates_are_read_as_awss_tool_reads_them() -> None:
    assert read_store(BLANK) == ()
    found = read_store(ENROLLED)
    theirs = {(it.name, it.guid): it.data for it in as_awss_tool_reads(ENROLLED)[0]}
    assert {(it.name, it.guid): it.data for it in found} == theirs
    assert enforces_secure_boot(found)
    assert {("db", IMAGE_SECURITY), ("PK", GLOBAL), ("KEK", GLOBAL)} <= theirs.keys()
    assert all(it.timestamp for it in found if it.name in ("PK", "KEK", "db", "dbx"))


def test_a_store_goes_into_an_image_and_out_of_it_again() -> None:
    found = read_store(ENROLLED)
    assert read_store(write_store(BLANK, read_uefi_data(write_uefi_data(found)))) == found


def test_a_signers_digest_goes_into_the_firmwares_list_and_comes_back() -> None:
    signed = Variable("Mine", GLOBAL, 0x27, b"x", bytes([1] * 16), bytes(range(32)))
    file = write_store(BLANK, (signed, ORDER))
    assert "certdb\0".encode("utf-16-le") in file
    assert read_store(file) == (signed, ORDER)


def record(
    state: int, data: bytes, *, name: bytes = b"A\0\0\0", data_bytes: int | None = None, start: int = 0x55AA
) -> bytes:
    """One record of a store."""
    size = len(data) if data_bytes is None else data_bytes
    head = VARIABLE.pack(start, state, 0, 7, 0, bytes(16), 0, len(name), size, GLOBAL)
    whole = head + name + data
    return whole + b"\xff" * (-len(whole) % 4)


def file_of(*records: bytes) -> bytes:
    """A firmware's file with these records."""
    body = b"".join(records)
    return BLANK[:VARIABLES_AT] + body + BLANK[VARIABLES_AT + len(body) :]


@pytest.mark.parametrize(
    ("records", "values"),
    [
        ((record(ADDED, b"1"),), [b"1"]),
        ((record(0x3D, b"1"), record(ADDED, b"2")), [b"2"]),
        ((record(BEING_REPLACED, b"1"), record(ADDED, b"2")), [b"2"]),
        ((record(ADDED, b"2"), record(BEING_REPLACED, b"1")), [b"2"]),
        ((record(BEING_REPLACED, b"1"), record(0x7F, b"2")), [b"1"]),
        ((record(0x3C, b"1"),), []),
    ],
    ids=["added", "deleted", "replaced", "replaced-later", "half-replaced", "deleted-twice"],
)
def test_of_several_records_the_one_that_the_firmware_takes_counts(
    records: tuple[bytes, ...], values: list[bytes]
) -> None:
    assert [it.data for it in read_store(file_of(*records))] == values


def changed(at: int, body: bytes, file: bytes = BLANK) -> bytes:
    """``file`` with ``body`` at ``at``."""
    return file[:at] + body + file[at + len(body) :]


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"", "has no store's size"),
        (bytes(len(BLANK)), "does not begin with the header"),
        (BLANK[:VARIABLES_AT], "has no store's size"),
        (changed(0x20, b"\xff"), "does not begin with the header"),
        (changed(0x48, b"y"), "is not one of authenticated variables"),
        (changed(0x5C, b"\x00"), "is not one of authenticated variables"),
        (changed(0x58, b"\xff\xff\xff\xff"), "reaches past its file"),
        (changed(0x58, b"\x00\x00\x00\x00"), "reaches past its file"),
        (BLANK[: 0x48 + 0x3FFB7], "reaches past its file"),
        (file_of(record(ADDED, b"", data_bytes=0x40000)), "reaches past its end"),
        (file_of(record(ADDED, b"1", name=b"A\0")), "name does not end"),
        (file_of(record(ADDED, b"1", name=b"\0\0")), "is not 1 to"),
        (file_of(record(ADDED, b"1", name=b"\x00\xd8\0\0")), "is not UTF-16"),
        (file_of(record(ADDED, b"1", name=b"A\0\0")), "is not UTF-16"),
    ],
    ids=[str(number) for number in range(14)],
)
def test_a_file_that_does_not_add_up_is_refused(file: bytes, why: str) -> None:
    with pytest.raises(UnreadableStore, match=why):
        read_store(file)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        struct.pack("<I", 9),
        struct.pack("<I", 5) + b"x",
        struct.pack("<I", 32) + GLOBAL + struct.pack("<III", 28, 9, 0),
    ],
)
def test_a_damaged_list_of_signers_is_refused(data: bytes) -> None:
    file = write_store(BLANK, (Variable(*CERTDB, 0x27, data),))
    with pytest.raises(UnreadableStore, match="list of signers"):
        read_store(file)


@settings(max_examples=60)
@given(data=st.data())
def test_a_spoiled_file_is_read_or_refused(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, VARIABLES_AT + 14_000))
    file = changed(at, data.draw(st.binary(min_size=1, max_size=16)), ENROLLED)
    try:
        found = read_store(file)
    except UnreadableStore as error:
        assert str(error).endswith(".")
    else:
        assert len(found) < 100


def test_variables_that_do_not_fit_are_refused_with_the_numbers() -> None:
    with pytest.raises(UnreadableStore, match=r"take \d+ octets, and the firmware has 262044"):
        write_store(BLANK, (ORDER, PLATFORM_KEY, Variable("Big", GLOBAL, 7, bytes(262_000))))
