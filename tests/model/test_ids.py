"""Ids have EC2's form; ULIDs sort by time."""

from hypothesis import given
from hypothesis import strategies as st

from amiable.model import ids

prefixes = st.sampled_from([ids.AMI, ids.SNAPSHOT, ids.INSTANCE, ids.IMPORT_SNAPSHOT_TASK])


@given(prefixes, st.binary(min_size=9, max_size=9))
def test_a_minted_id_is_well_formed_for_its_prefix_and_no_other(prefix: str, entropy: bytes) -> None:
    made = ids.mint(prefix, entropy)
    assert ids.is_well_formed(prefix, made) and ids.prefix_of(made) == prefix
    assert not ids.is_well_formed(ids.VPC, made)


@given(st.text(max_size=30))
def test_anything_else_is_malformed(text: str) -> None:
    assert not ids.is_well_formed(ids.AMI, text) or text.startswith("ami-")


def test_both_lengths_are_valid_and_upper_case_is_not() -> None:
    assert ids.is_well_formed("ami", "ami-1a2b3c4d") and ids.is_well_formed("ami", "ami-0123456789abcdef0")
    assert not any(
        ids.is_well_formed("ami", bad)
        for bad in ("ami-1A2B3C4D", "ami-", "ami", "ami-1a2b3c4", "i-1a2b3c4d", "xami-1a2b3c4d")
    )


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_a_later_ulid_sorts_behind_an_earlier_one(moment: int, first: bytes, second: bytes) -> None:
    assert len(ids.ulid(moment, first)) == 26
    assert ids.ulid(moment, first) < ids.ulid(moment + 1, second)


def test_an_account_is_exactly_twelve_ascii_digits() -> None:
    assert ids.is_account("012345678901")
    assert not any(ids.is_account(bad) for bad in ("1234", "0123456789012", "12345678901a", "١٢٣٤٥٦٧٨٩٠١٢"))
