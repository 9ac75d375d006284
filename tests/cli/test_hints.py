"""A refusal's hint fits its cause, and its exit code says whether to try again."""

import pytest

from amiable.cli.hints import NOT_OF_THIS_SERVER, exit_code_for, hint_for
from amiable.model.block_public_access import BLOCK_NEW_SHARING, BlockPublicAccess
from amiable.model.errors import (
    AuthFailure,
    InsufficientInstanceCapacity,
    InternalError,
    OperationNotPermitted,
    ResourceLimitExceeded,
    StorageFull,
    Unauthenticated,
    Unavailable,
)
from amiable.rules.block_public_access import check_image_publish, check_snapshot_publish
from amiable.rules.quota import check_image_quota, check_public_quota


def test_only_credentials_make_a_key_foreign() -> None:
    for words in (Unauthenticated.template, "The access key id is not known here, or not active."):
        assert hint_for("AuthFailure", words) == NOT_OF_THIS_SERVER
    assert hint_for("AuthFailure", "The request carries no signature.") == ""
    assert hint_for("AuthFailure", "Not authorized for kernel images: only the administrator may register them") == ""


def test_an_image_that_is_not_shared_names_who_must_share_it() -> None:
    words = AuthFailure(what="images: [ami-0123456789abcdef0]").message
    assert hint_for("AuthFailure", words).endswith("amiable image share ami-0123456789abcdef0 --account YOURS")


def test_a_guard_and_a_quota_say_what_lifts_them() -> None:
    guard, hints = BlockPublicAccess(BLOCK_NEW_SHARING, BLOCK_NEW_SHARING), []
    for check in (check_image_publish, check_snapshot_publish):
        with pytest.raises(OperationNotPermitted) as caught:
            check(guard)
        hints.append((hint_for(caught.value.code, caught.value.message), caught.value.advice))
    assert [told.removeprefix("lift the account's guard first: ") for told, _ in hints] == [kept for _, kept in hints]
    for count in (check_public_quota, check_image_quota):
        with pytest.raises(ResourceLimitExceeded) as full:
            count(7, 7)
        assert hint_for(full.value.code, full.value.message) == full.value.advice != ""


@pytest.mark.parametrize("code", ["AuthFailure", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"])
def test_a_wrong_region_names_the_right_one(code: str) -> None:
    words = "Credential should be scoped to a valid region: this installation is eu-home-1, not us-east-1."
    assert hint_for(code, words) == "export AWS_REGION=eu-home-1 AWS_DEFAULT_REGION=eu-home-1"


@pytest.mark.parametrize("code", ["AccessDenied", "403", "NoSuchBucket", "InvalidBucketName"])
def test_what_a_bucket_refuses_says_what_to_look_at(code: str) -> None:
    assert hint_for(code, "Forbidden") != ""


def test_every_lack_of_capacity_has_a_hint_of_its_kind() -> None:
    memory = "The instance type m5.large has 8192 MiB of memory; this host has 2048 MiB."
    assert "smaller instance type" in hint_for("InsufficientInstanceCapacity", memory)
    assert "terminate or stop" in hint_for("InsufficientInstanceCapacity", "There is room for 0 more instances.")


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [
        (InsufficientInstanceCapacity.code, InsufficientInstanceCapacity.status, 75),
        (Unavailable.code, Unavailable.status, 75),
        ("ServiceUnavailable", 503, 75),
        ("502", 502, 75),
        (InternalError.code, InternalError.status, 70),
        ("InternalServerException", 500, 70),
        ("500", 500, 70),
        (StorageFull.code, StorageFull.status, 74),
        ("ServiceQuotaExceededException", 402, 74),
        ("RequestThrottledException", 400, 75),
        ("InvalidAMIID.NotFound", 400, 1),
        ("NotImplemented", 501, 1),
    ],
)
def test_each_refusal_has_its_exit_code(code: str, status: int, exit_code: int) -> None:
    assert exit_code_for(code, status) == exit_code
