"""DescribeImages, DeregisterImage and image attributes, in process."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import event

from amiable.api.ec2.describe_images import describe_images
from amiable.api.ec2.image_attributes import describe_image_attribute, modify_image_attribute
from amiable.api.ec2.images import deregister_image
from amiable.api.ec2.register_image import register_image
from amiable.api.ec2.snapshots import describe_snapshots
from amiable.api.ec2.tags import create_tags
from amiable.database import accounts, images
from amiable.database.image_selection import Selection, list_images
from amiable.model.errors import (
    AuthFailure,
    DryRunOperation,
    InvalidAMIAttributeItemValue,
    InvalidAMIIDUnavailable,
    InvalidPaginationToken,
    InvalidParameterValue,
    InvalidUserIDMalformed,
    Malformed,
    NotFound,
)
from amiable.model.ids import mint
from amiable.model.principal import Principal
from amiable.rules.image_filters import FIELDS, spell_time
from amiable.services import Services
from amiable.wire.generated import ec2
from tests.api.ec2.conftest import MakeImage, MakeSnapshot
from tests.api.ec2.requests import registration, root_mapping
from tests.rules.images import AN_IMAGE
from tests.support.sharing import allow_public_images

MANY = 1000


def listed(services: Services, principal: Principal, **fields: Any) -> list[str]:
    """Names of the images that a DescribeImages request selects."""
    found = describe_images(services, principal, ec2.DescribeImagesRequest(**fields)).images
    return [str(image.name) for image in found or []]


def filtered(services: Services, principal: Principal, name: str, *values: str) -> list[str]:
    return listed(services, principal, filters=[ec2.Filter(name=name, values=list(values))])


@pytest.fixture(autouse=True)
def public_allowed(services: Services, principal: Principal, other_principal: Principal) -> None:
    for account_id in (principal.account_id, other_principal.account_id):
        allow_public_images(services, account_id)


def share(services: Services, owner: Principal, image_id: str, **permission: Any) -> None:
    added = ec2.LaunchPermissionModifications(add=[ec2.LaunchPermission(**permission)])
    modify_image_attribute(services, owner, ec2.ModifyImageAttributeRequest(image_id=image_id, launch_permission=added))


def unshare(services: Services, owner: Principal, image_id: str, **permission: Any) -> None:
    removed = ec2.LaunchPermissionModifications(remove=[ec2.LaunchPermission(**permission)])
    modify_image_attribute(
        services, owner, ec2.ModifyImageAttributeRequest(image_id=image_id, launch_permission=removed)
    )


def grants(services: Services, owner: Principal, image_id: str) -> list[ec2.LaunchPermission] | None:
    request = ec2.DescribeImageAttributeRequest(attribute="launchPermission", image_id=image_id)
    return describe_image_attribute(services, owner, request).launch_permissions


# ── who sees what ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_private_image_is_its_owners_until_it_is_shared_or_public(
    services: Services, principal: Principal, other_principal: Principal, make_image: MakeImage
) -> None:
    image_id = make_image(principal, "mine")
    assert listed(services, principal) == ["mine"] and listed(services, other_principal) == []
    share(services, principal, image_id, user_id=other_principal.account_id)
    assert listed(services, other_principal) == ["mine"]
    unshare(services, principal, image_id, user_id=other_principal.account_id)
    assert listed(services, other_principal) == []
    share(services, principal, image_id, group="all")
    assert filtered(services, other_principal, "is-public", "true") == ["mine"]


def test_owners_are_ored_and_self_is_the_caller(
    services: Services, principal: Principal, other_principal: Principal, make_image: MakeImage
) -> None:
    make_image(principal, "mine")
    share(services, other_principal, make_image(other_principal, "theirs"), group="all")
    assert listed(services, principal) == ["mine", "theirs"]
    assert listed(services, principal, owners=["self"]) == ["mine"]
    assert listed(services, principal, owners=["self", other_principal.account_id]) == ["mine", "theirs"]
    assert listed(services, principal, owners=["amazon", "aws-marketplace"]) == []
    with pytest.raises(InvalidUserIDMalformed, match="me"):
        listed(services, principal, owners=["me"])


def test_executable_users_select_by_explicit_grant(
    services: Services, principal: Principal, other_principal: Principal, make_image: MakeImage
) -> None:
    make_image(principal, "private")
    share(services, principal, make_image(principal, "shared"), user_id=other_principal.account_id)
    share(services, principal, make_image(principal, "public"), group="all")
    assert listed(services, other_principal, executable_users=["self"]) == ["shared"]
    assert listed(services, other_principal, executable_users=[other_principal.account_id]) == ["shared"]
    assert listed(services, principal, executable_users=["self"]) == []
    assert listed(services, principal, executable_users=[other_principal.account_id]) == ["shared"]
    assert listed(services, principal, executable_users=["all"]) == ["public"]
    assert listed(services, other_principal, executable_users=["self", "all"]) == ["shared", "public"]
    with pytest.raises(InvalidUserIDMalformed):
        listed(services, principal, executable_users=["everyone"])


def test_tags_are_private_to_who_put_them(
    services: Services, principal: Principal, other_principal: Principal, make_image: MakeImage
) -> None:
    image_id = make_image(principal)
    share(services, principal, image_id, user_id=other_principal.account_id)
    for who, value in ((principal, "owner"), (other_principal, "guest")):
        create_tags(services, who, ec2.CreateTagsRequest(resources=[image_id], tags=[ec2.Tag(key="who", value=value)]))
    assert filtered(services, principal, "tag:who", "owner") == ["an image"]
    assert filtered(services, other_principal, "tag:who", "owner") == []
    found = describe_images(services, other_principal, ec2.DescribeImagesRequest()).images
    assert found is not None and found[0].tags == [ec2.Tag(key="who", value="guest")]


# ── ids ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_bad_id_fails_the_whole_call_by_name(
    services: Services, principal: Principal, other_principal: Principal, make_image: MakeImage
) -> None:
    mine, theirs = make_image(principal), make_image(other_principal)
    gone, far = "ami-12345678", "ami-" + "0" * 17
    with pytest.raises(Malformed, match='Invalid id: "i-12345678"') as malformed:
        listed(services, principal, image_ids=[mine, "i-12345678", "foo"])
    assert malformed.value.code == "InvalidAMIID.Malformed"
    with pytest.raises(NotFound, match=f"The image id '.{gone}.' does not exist"):
        listed(services, principal, image_ids=[mine, gone])
    with pytest.raises(NotFound, match=f"The image ids '.{gone}, {far}, {theirs}.' do not exist") as missing:
        listed(services, principal, image_ids=[gone, mine, far, theirs])
    assert missing.value.code == "InvalidAMIID.NotFound"


def test_owner_and_filters_narrow_named_ids_without_an_error(
    services: Services, principal: Principal, make_image: MakeImage
) -> None:
    image_id = make_image(principal)
    assert listed(services, principal, image_ids=[image_id], owners=["amazon"]) == []
    assert filtered(services, principal, "image-id", "ami-12345678") == []


# ── filters ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_filters_find_what_they_say(services: Services, principal: Principal, make_image: MakeImage) -> None:
    make_image(principal, "web-1", description="front", ena_support=True, boot_mode="uefi")
    make_image(principal, "web-2", architecture="arm64")
    make_image(principal, "db [1]", virtualization_type="paravirtual", architecture="i386")
    assert filtered(services, principal, "name", "web-*") == ["web-1", "web-2"]
    assert filtered(services, principal, "name", "web-?", "db [1]") == ["web-1", "web-2", "db [1]"]
    assert filtered(services, principal, "name", "WEB-1") == []
    assert filtered(services, principal, "state", "available") == ["web-1", "web-2", "db [1]"]
    assert filtered(services, principal, "state", "failed") == []
    assert filtered(services, principal, "architecture", "arm64", "i386") == ["web-2", "db [1]"]
    assert filtered(services, principal, "virtualization-type", "paravirtual") == ["db [1]"]
    assert filtered(services, principal, "root-device-type", "instance-store") == []
    assert filtered(services, principal, "image-type", "machine") == ["web-1", "web-2", "db [1]"]
    assert filtered(services, principal, "ena-support", "true") == ["web-1"]
    assert filtered(services, principal, "boot-mode", "uefi*") == ["web-1"]
    assert filtered(services, principal, "description", "fr?nt") == ["web-1"]
    assert filtered(services, principal, "owner-id", principal.account_id) == ["web-1", "web-2", "db [1]"]
    assert filtered(services, principal, "block-device-mapping.volume-size", "1") == ["web-1", "web-2", "db [1]"]
    both = [ec2.Filter(name="name", values=["web-*"]), ec2.Filter(name="architecture", values=["x86_64"])]
    assert listed(services, principal, filters=both) == ["web-1"]
    with pytest.raises(InvalidParameterValue, match=r"The filter 'tpm-support' is invalid"):
        filtered(services, principal, "tpm-support", "x")


def test_every_image_passes_a_filter_by_what_it_shows(
    services: Services, principal: Principal, make_image: MakeImage
) -> None:
    image_id = make_image(principal)
    with services.database.read() as c:
        image = images.get(c, principal.region, image_id, viewer=principal.account_id)
    assert image is not None
    for name, field in FIELDS.items():
        for value in field(image):
            if value is not None:
                assert filtered(services, principal, name, value) == ["an image"], name


# ── many images, pages ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def many(services: Services, principal: Principal) -> list[str]:
    """A thousand images, as rows."""
    names = [f"image-{number:04d}" for number in range(MANY)]
    with services.database.write() as c:
        for number, name in enumerate(names):
            image = replace(
                AN_IMAGE,
                id=mint("ami", (number << 4).to_bytes(9, "big")),
                account_id=principal.account_id,
                region=principal.region,
                name=name,
                created_at=services.now(),
            )
            images.insert_image(c, image)
    return names


def test_a_thousand_images_cost_five_queries(services: Services, principal: Principal, many: list[str]) -> None:
    statements: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(services.database.engine, "before_cursor_execute", note)
    found = listed(services, principal, owners=["self"])
    event.remove(services.database.engine, "before_cursor_execute", note)
    assert found == many
    assert len([statement for statement in statements if statement.startswith("SELECT")]) == 5


def test_pages_hold_every_image_once_and_in_order(services: Services, principal: Principal, many: list[str]) -> None:
    request = ec2.DescribeImagesRequest(
        owners=["self"], max_results=300, filters=[ec2.Filter(name="name", values=["image-0*"])]
    )
    seen: list[str] = []
    pages = 0
    while True:
        answer = describe_images(services, principal, request)
        seen += [str(image.name) for image in answer.images or []]
        pages += 1
        if answer.next_token is None:
            break
        request = structs.replace(request, next_token=answer.next_token)
    assert seen == many and pages == 4


def test_a_page_token_serves_its_own_question_and_caller_only(
    services: Services, principal: Principal, other_principal: Principal, make_image: MakeImage
) -> None:
    for name in ("one", "two", "three"):
        share(services, principal, make_image(principal, name), group="all")
    token = describe_images(services, principal, ec2.DescribeImagesRequest(max_results=1)).next_token
    assert token is not None
    assert listed(services, principal, max_results=2, next_token=token) == ["two", "three"]
    for who, fields in (
        (other_principal, {}),
        (principal, {"owners": ["self"]}),
        (replace(principal, region="eu-west-1"), {}),
    ):
        with pytest.raises(InvalidPaginationToken):
            listed(services, who, max_results=1, next_token=token, **fields)
    for bad in ("x", token[:-4], token[:-2] + "AA", "é" * 40):
        with pytest.raises(InvalidPaginationToken):
            listed(services, principal, max_results=1, next_token=bad)
    with pytest.raises(InvalidParameterValue, match="maxResults"):
        listed(services, principal, max_results=0)


# ── deregister ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_deregistered_image_never_comes_back(
    services: Services, principal: Principal, other_principal: Principal, make_image: MakeImage
) -> None:
    image_id = make_image(principal, "once")
    share(services, principal, image_id, group="all")
    request = ec2.DeregisterImageRequest(image_id=image_id)
    with pytest.raises(DryRunOperation):
        deregister_image(services, principal, structs.replace(request, dry_run=True))
    assert deregister_image(services, principal, request).return_ is True
    with pytest.raises(InvalidAMIIDUnavailable, match=f"The image id '.{image_id}.' is no longer available"):
        deregister_image(services, principal, request)
    assert listed(services, principal) == listed(services, other_principal) == []
    assert listed(services, principal, image_ids=[image_id]) == []
    with pytest.raises(NotFound):
        listed(services, other_principal, image_ids=[image_id])
    with pytest.raises(InvalidAMIIDUnavailable):
        share(services, principal, image_id, group="all")
    with pytest.raises(NotFound):
        create_tags(services, principal, ec2.CreateTagsRequest(resources=[image_id], tags=[ec2.Tag(key="a")]))
    assert make_image(principal, "once") != image_id


def test_snapshots_go_with_their_image_when_asked_unless_another_needs_them(
    services: Services, principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    alone, shared = make_snapshot(principal), make_snapshot(principal)
    maps = [root_mapping(alone), root_mapping(shared, "/dev/sdf")]
    first = register_image(services, principal, registration(alone, "first", block_device_mappings=maps)).image_id
    register_image(services, principal, registration(shared, "second"))
    request = ec2.DeregisterImageRequest(image_id=str(first), delete_associated_snapshots=True)
    answer = deregister_image(services, principal, request)
    assert answer.delete_snapshot_results == [
        ec2.DeleteSnapshotReturnCode(snapshot_id=alone, return_code="success"),
        ec2.DeleteSnapshotReturnCode(snapshot_id=shared, return_code="skipped"),
    ]
    left = describe_snapshots(services, principal, ec2.DescribeSnapshotsRequest()).snapshots or []
    assert [snapshot.snapshot_id for snapshot in left] == [shared]


def test_only_the_owner_deregisters_and_changes(
    services: Services, principal: Principal, other_principal: Principal, make_image: MakeImage
) -> None:
    image_id = make_image(principal)
    for public in (False, True):
        if public:
            share(services, principal, image_id, group="all")
        with pytest.raises(AuthFailure, match=image_id):
            deregister_image(services, other_principal, ec2.DeregisterImageRequest(image_id=image_id))
        with pytest.raises(AuthFailure):
            share(services, other_principal, image_id, user_id=other_principal.account_id)
        with pytest.raises(AuthFailure):
            grants(services, other_principal, image_id)
    with pytest.raises(NotFound):
        deregister_image(services, principal, ec2.DeregisterImageRequest(image_id="ami-12345678"))
    with pytest.raises(Malformed):
        deregister_image(services, principal, ec2.DeregisterImageRequest(image_id="ami-xyz"))


# ── attributes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_grants_are_a_set_and_removing_an_absent_one_succeeds(
    services: Services, principal: Principal, other_principal: Principal, make_image: MakeImage
) -> None:
    image_id = make_image(principal)
    other = other_principal.account_id
    assert grants(services, principal, image_id) == []
    for _ in range(2):
        share(services, principal, image_id, user_id=other)
    share(services, principal, image_id, group="all")
    assert grants(services, principal, image_id) == [
        ec2.LaunchPermission(user_id=other),
        ec2.LaunchPermission(group="all"),
    ]
    for _ in range(2):
        unshare(services, principal, image_id, group="all")
    assert grants(services, principal, image_id) == [ec2.LaunchPermission(user_id=other)]


def test_the_old_style_shares_too(services: Services, principal: Principal, make_image: MakeImage) -> None:
    image_id = make_image(principal)
    users = [f"{number:012d}" for number in range(500)]
    with services.database.write() as c:
        for number, user in enumerate(users):
            accounts.insert_account(c, accounts.Account(user, f"account {number}", False, services.now()))
    request = ec2.ModifyImageAttributeRequest(
        image_id=image_id, attribute="launchPermission", operation_type="add", user_ids=users, user_groups=["all"]
    )
    modify_image_attribute(services, principal, request)
    assert len(grants(services, principal, image_id) or []) == 501
    modify_image_attribute(services, principal, structs.replace(request, operation_type="remove", user_groups=None))
    assert grants(services, principal, image_id) == [ec2.LaunchPermission(group="all")]


def test_an_image_is_shared_only_with_accounts_that_there_are(
    services: Services, principal: Principal, other_principal: Principal, make_image: MakeImage
) -> None:
    image_id = make_image(principal)
    both = [ec2.LaunchPermission(user_id=other_principal.account_id), ec2.LaunchPermission(user_id="000000000001")]
    request = ec2.ModifyImageAttributeRequest(
        image_id=image_id, launch_permission=ec2.LaunchPermissionModifications(add=both)
    )
    for dry_run in (False, True):
        with pytest.raises(InvalidAMIAttributeItemValue) as caught:
            modify_image_attribute(services, principal, structs.replace(request, dry_run=dry_run))
        assert caught.value.message == 'Invalid attribute item value "000000000001" for userId item type.'
    assert grants(services, principal, image_id) == []
    unshare(services, principal, image_id, user_id="000000000001")


def test_nothing_becomes_public_on_an_error_or_in_a_dry_run(
    services: Services, principal: Principal, make_image: MakeImage
) -> None:
    image_id = make_image(principal)
    both = [ec2.LaunchPermission(group="all"), ec2.LaunchPermission(user_id="someone")]
    request = ec2.ModifyImageAttributeRequest(
        image_id=image_id, launch_permission=ec2.LaunchPermissionModifications(add=both)
    )
    with pytest.raises(InvalidAMIAttributeItemValue):
        modify_image_attribute(services, principal, request)
    with pytest.raises(DryRunOperation):
        public = ec2.LaunchPermissionModifications(add=both[:1])
        modify_image_attribute(services, principal, structs.replace(request, launch_permission=public, dry_run=True))
    assert grants(services, principal, image_id) == []


def test_a_description_changes_and_reads_back(services: Services, principal: Principal, make_image: MakeImage) -> None:
    image_id = make_image(principal, description="old")
    new = ec2.ModifyImageAttributeRequest(image_id=image_id, description=ec2.AttributeValue(value="new"))
    modify_image_attribute(services, principal, new)
    read = ec2.DescribeImageAttributeRequest(attribute="description", image_id=image_id)
    assert describe_image_attribute(services, principal, read).description == ec2.AttributeValue(value="new")
    assert filtered(services, principal, "description", "new") == ["an image"]


def test_attributes_that_are_kept_read_back_and_others_are_refused(
    services: Services, principal: Principal, make_image: MakeImage
) -> None:
    image_id = make_image(principal, boot_mode="uefi", tpm_support="v2.0", sriov_net_support="simple")

    def read(attribute: str) -> ec2.ImageAttribute:
        request = ec2.DescribeImageAttributeRequest(attribute=attribute, image_id=image_id)
        return describe_image_attribute(services, principal, request)

    assert read("bootMode").boot_mode == ec2.AttributeValue(value="uefi")
    assert read("tpmSupport").tpm_support == ec2.AttributeValue(value="v2.0")
    assert read("sriovNetSupport").sriov_net_support == ec2.AttributeValue(value="simple")
    with pytest.raises(AuthFailure):
        read("blockDeviceMapping")
    assert read("productCodes").product_codes == []
    with pytest.raises(InvalidParameterValue, match="colour"):
        read("colour")


def test_the_creation_date_has_milliseconds_and_is_the_servers() -> None:
    assert spell_time(AN_IMAGE.created_at) == "2026-01-02T03:04:05.678Z"


def test_a_list_says_the_same_whether_it_names_ids_or_not(
    services: Services, principal: Principal, many: list[str]
) -> None:
    with services.database.read() as c:
        whole = list_images(c, Selection(principal.account_id, principal.region))
        some = frozenset(image.id for image in whole[:50])
        named = list_images(c, Selection(principal.account_id, principal.region, ids=some))
    assert named == whole[:50]


def test_registering_reads_back_at_once_from_another_connection(
    services: Services, principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    snapshot_id = make_snapshot(principal)
    for number in range(5):
        made = register_image(
            services,
            principal,
            registration(snapshot_id, f"again {number}", block_device_mappings=[root_mapping(snapshot_id)]),
        )
        assert listed(services, principal, image_ids=[made.image_id]) == [f"again {number}"]
