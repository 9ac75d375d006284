"""Canned ACLs: who may what, the whole table."""

import pytest

from amiable.rules.acl import GRANTS, SERVICE, Holding, Permission, canonical_id, may

OWNER, BUCKET_OWNER, OTHER = "111111111111", "222222222222", "333333333333"
READERS = {
    "private": set(),
    "public-read": {BUCKET_OWNER, OTHER, SERVICE},
    "public-read-write": {BUCKET_OWNER, OTHER, SERVICE},
    "authenticated-read": {BUCKET_OWNER, OTHER, SERVICE},
    "aws-exec-read": {SERVICE},
    "ec2-bundle-read": {SERVICE},
    "bucket-owner-read": {BUCKET_OWNER},
    "bucket-owner-full-control": {BUCKET_OWNER},
}


@pytest.mark.parametrize("acl", GRANTS)
def test_who_may_read(acl: str) -> None:
    holding = Holding(OWNER, acl, BUCKET_OWNER)
    assert {who for who in (OWNER, BUCKET_OWNER, OTHER, SERVICE) if may(who, Permission.READ, holding)} == {
        OWNER
    } | READERS[acl]


@pytest.mark.parametrize("acl", GRANTS)
def test_who_may_write_and_govern(acl: str) -> None:
    holding = Holding(OWNER, acl, BUCKET_OWNER)
    writers = {who for who in (BUCKET_OWNER, OTHER, SERVICE) if may(who, Permission.WRITE, holding)}
    assert writers == {
        "public-read-write": {BUCKET_OWNER, OTHER, SERVICE},
        "bucket-owner-full-control": {BUCKET_OWNER},
    }.get(acl, set())
    governors = {who for who in (BUCKET_OWNER, OTHER, SERVICE) if may(who, Permission.WRITE_ACP, holding)}
    assert governors == ({BUCKET_OWNER} if acl == "bucket-owner-full-control" else set())
    assert all(may(OWNER, permission, holding) for permission in Permission)


def test_canonical_ids_are_64_hex_digits_and_each_accounts_own() -> None:
    assert len(canonical_id(OWNER)) == 64 and int(canonical_id(OWNER), 16) > 0
    assert canonical_id(OWNER) != canonical_id(OTHER)
