"""A refusal's hint fits its cause, and its exit code says whether to try again."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amiable.cli.hints import LISTS, MAKE_SPACE, NOT_OF_THIS_SERVER, exit_code_for, hint_for
from amiable.cli.main import complain_of_client
from amiable.model.block_public_access import BLOCK_NEW_SHARING, BlockPublicAccess
from amiable.model.errors import (
    AuthFailure,
    IncorrectInstanceState,
    InsufficientInstanceCapacity,
    InternalError,
    Malformed,
    MissingParameter,
    NotFound,
    OperationNotPermitted,
    ResourceLimitExceeded,
    StorageFull,
    Unauthenticated,
    Unavailable,
)
from amiable.model.instance_type import TINY
from amiable.model.units import GIB
from amiable.rules.block_public_access import check_image_publish, check_snapshot_publish
from amiable.rules.launch import Host, check_start, choose_type
from amiable.rules.protection import split_by_protection
from amiable.rules.quota import check_image_quota, check_public_quota
from tests.rules.instances import AN_INSTANCE


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


@pytest.mark.parametrize("regions", ["eu-home-1", "eu-home-1, eu-west-1"], ids=["one", "two"])
@pytest.mark.parametrize("code", ["AuthFailure", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"])
def test_a_wrong_region_names_a_right_one(code: str, regions: str) -> None:
    words = f"Credential should be scoped to a valid region: this installation is {regions}, not us-east-1."
    assert hint_for(code, words) == "export AWS_REGION=eu-home-1 AWS_DEFAULT_REGION=eu-home-1"


@pytest.mark.parametrize("code", ["AccessDenied", "403", "NoSuchBucket", "InvalidBucketName"])
def test_what_a_bucket_refuses_says_what_to_look_at(code: str) -> None:
    assert hint_for(code, "Forbidden") != ""


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "InsufficientVolumeCapacity"])
def test_what_the_server_advises_goes_before_what_is_guessed_from_the_code(
    code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told: Any = {"HTTPStatusCode": 500, "HTTPHeaders": {"x-amiable-hint": "choose a smaller type"}}
    refused = ClientError({"Error": {"Code": code, "Message": "no room"}, "ResponseMetadata": told}, "RunInstances")
    complain_of_client(refused)
    assert capsys.readouterr().err == f"error: {code}: no room\n\nhint: choose a smaller type\n"


def test_every_lack_of_capacity_has_a_hint_of_its_kind() -> None:
    for count, said in ((1, "choose a smaller instance type"), (9, "raise the setting instances_max")):
        with pytest.raises(InsufficientInstanceCapacity) as caught:
            check_start([choose_type(TINY)] * count, Host(memory_bytes=GIB // 2, instances_max=8))
        assert said in caught.value.advice


@pytest.mark.parametrize(
    ("code", "status", "words", "exit_code"),
    [
        (InsufficientInstanceCapacity.code, InsufficientInstanceCapacity.status, "", 75),
        (Unavailable.code, Unavailable.status, "", 75),
        ("ServiceUnavailable", 503, "", 75),
        ("502", 502, "", 75),
        (InternalError.code, InternalError.status, "", 70),
        ("InternalServerException", 500, "", 70),
        ("500", 500, "", 70),
        (StorageFull.code, StorageFull.status, "", 74),
        ("ServiceQuotaExceededException", 402, StorageFull.template, 74),
        ("ServiceQuotaExceededException", 402, "You can have 250 retention rules in a Region at most.", 1),
        ("RequestThrottledException", 400, "", 75),
        ("InvalidAMIID.NotFound", 400, "", 1),
        ("NotImplemented", 501, "", 1),
    ],
)
def test_each_refusal_has_its_exit_code(code: str, status: int, words: str, exit_code: int) -> None:
    assert exit_code_for(code, status, words) == exit_code


def test_only_a_full_disk_asks_for_space() -> None:
    code = "ServiceQuotaExceededException"
    assert hint_for(code, StorageFull.template) == MAKE_SPACE
    assert "rule list" in hint_for(code, "You can have 250 retention rules in a Region at most.")
    assert "snapshots_max" in hint_for(code, "You have 9 snapshots in this region and may have 9.")


@pytest.mark.parametrize("noun", sorted(LISTS))
def test_an_id_that_names_nothing_says_what_lists_those_that_there_are(noun: str) -> None:
    prefix = {"kernel": "aki", "ramdisk": "ari"}.get(noun, "ami")
    nothing = NotFound(noun, [f"{prefix}-0123456789abcdef0"])
    assert hint_for(nothing.code, nothing.message) == LISTS[noun]


@pytest.mark.parametrize("noun", sorted(set(LISTS) - {"bundle_task", "key_pair"}))
def test_an_id_of_the_wrong_form_says_what_lists_the_right_ones(noun: str) -> None:
    wrong = Malformed(noun, "nonsense", "x")
    assert hint_for(wrong.code, wrong.message) == LISTS[noun]


def test_an_attached_volume_says_how_it_is_let_go_of() -> None:
    for words in ("vol-0a is already attached to an instance", "Volume vol-0a is currently attached to i-1"):
        assert hint_for("VolumeInUse", words) == "amiable volume detach vol-0a --wait"


@pytest.mark.parametrize("noun", ["image", "snapshot", "volume", "instance"])
def test_an_empty_id_says_what_lists_those_that_there_are(noun: str) -> None:
    nothing = MissingParameter(parameter=f"{noun.title()}Id")
    assert hint_for(nothing.code, nothing.message) == LISTS[noun]


@pytest.mark.parametrize("what", ["o-0123456789", "ou-0123-01234567", "nonsense"])
def test_an_organization_that_is_not_there_says_what_shows_them(what: str) -> None:
    nothing = NotFound("resource", [what])
    assert hint_for(nothing.code, nothing.message).startswith("amiable organization ")


def test_an_account_that_is_not_there_says_which_there_are() -> None:
    nobody = NotFound("resource", ["123456789012"])
    assert hint_for(nobody.code, nobody.message) == "amiable account list"


@pytest.mark.parametrize(
    ("attribute", "flag"),
    [("disable_api_termination", "--no-disable-api-termination"), ("disable_api_stop", "--no-disable-api-stop")],
)
def test_a_protected_instance_says_how_the_protection_is_taken_away(attribute: str, flag: str) -> None:
    protected: dict[str, Any] = {attribute: True}
    _, refusal = split_by_protection([replace(AN_INSTANCE, **protected)])
    assert refusal is not None
    told = f"aws ec2 modify-instance-attribute --instance-id {AN_INSTANCE.id} {flag}"
    assert hint_for(refusal.code, refusal.message) == told


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (IncorrectInstanceState(instance_id="i-0a", verb="started").message, "amiable instance show i-0a"),
        ("Instance 'i-0a' is not 'running'.", "amiable instance show i-0a"),
        ("The instance 'i-0a' is not in the 'stopped' state: it is running.", "amiable instance show i-0a"),
        ("Volume 'vol-0a' is in the 'available' state.", "amiable volume show vol-0a"),
    ],
)
def test_what_is_in_another_state_says_what_shows_it(words: str, hint: str) -> None:
    assert hint_for("IncorrectState", words) == hint
