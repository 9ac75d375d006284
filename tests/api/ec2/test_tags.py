"""CreateTags, DeleteTags, DescribeTags, in process."""

from typing import Any

import pytest
from msgspec import structs

from amiable.api.ec2.tags import birth_tags, create_tags, delete_tags, describe_tags
from amiable.model.errors import (
    DryRunOperation,
    InvalidParameterValue,
    InvalidTagKeyMalformed,
    Malformed,
    MissingParameter,
    NotFound,
    Refusal,
    TagLimitExceeded,
)
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.wire.generated import ec2
from tests.api.ec2.conftest import MakeImage, MakeSnapshot


def tag(services: Services, who: Principal, *resources: str, **tags: str) -> None:
    listed = [ec2.Tag(key=key, value=value) for key, value in tags.items()]
    create_tags(services, who, ec2.CreateTagsRequest(resources=list(resources), tags=listed))


def untag(services: Services, who: Principal, resource: str, *tags: ec2.Tag) -> None:
    delete_tags(services, who, ec2.DeleteTagsRequest(resources=[resource], tags=list(tags) or None))


def seen(services: Services, who: Principal, **fields: Any) -> dict[tuple[str, str], str]:
    found = describe_tags(services, who, ec2.DescribeTagsRequest(**fields)).tags or []
    return {(str(each.resource_id), str(each.key)): str(each.value) for each in found}


def test_tags_are_put_replaced_and_listed_with_their_type(
    services: Services, principal: Principal, make_image: MakeImage, make_snapshot: MakeSnapshot
) -> None:
    image_id, snapshot_id = make_image(principal), make_snapshot(principal)
    tag(services, principal, image_id, snapshot_id, a="1", b="2")
    tag(services, principal, image_id, b="3", empty="")
    assert seen(services, principal) == {
        (image_id, "a"): "1", (image_id, "b"): "3", (image_id, "empty"): "", (snapshot_id, "a"): "1", (snapshot_id, "b"): "2",
    }  # fmt: skip
    types = {each.resource_type for each in describe_tags(services, principal, ec2.DescribeTagsRequest()).tags or []}
    assert types == {"image", "snapshot"}


def test_filters_of_tags(
    services: Services, principal: Principal, make_image: MakeImage, make_snapshot: MakeSnapshot
) -> None:
    image_id, snapshot_id = make_image(principal), make_snapshot(principal)
    tag(services, principal, image_id, a="1", b="2")
    tag(services, principal, snapshot_id, a="3")

    def by(name: str, *values: str) -> set[tuple[str, str]]:
        return set(seen(services, principal, filters=[ec2.Filter(name=name, values=list(values))]))

    assert by("key", "a") == {(image_id, "a"), (snapshot_id, "a")}
    assert by("value", "1", "2") == {(image_id, "a"), (image_id, "b")}
    assert by("resource-id", snapshot_id) == {(snapshot_id, "a")}
    assert by("resource-type", "snap*") == {(snapshot_id, "a")}
    assert by("tag:a", "1") == {(image_id, "a")}
    with pytest.raises(InvalidParameterValue, match="The filter 'color' is invalid"):
        by("color", "x")


def test_deleting_by_key_by_value_and_all(services: Services, principal: Principal, make_image: MakeImage) -> None:
    image_id = make_image(principal)
    tag(services, principal, image_id, a="1", b="", c="3", d="4")
    untag(services, principal, image_id, ec2.Tag(key="a"))
    untag(services, principal, image_id, ec2.Tag(key="c", value=""), ec2.Tag(key="d", value="4"))
    assert set(seen(services, principal)) == {(image_id, "b"), (image_id, "c")}
    untag(services, principal, image_id, ec2.Tag(key="absent"))
    untag(services, principal, image_id)
    assert seen(services, principal) == {}


def test_a_refused_call_and_a_dry_run_change_nothing(
    services: Services, principal: Principal, make_image: MakeImage
) -> None:
    image_id = make_image(principal)
    with pytest.raises(NotFound) as missing:
        tag(services, principal, image_id, "ami-12345678", a="1")
    assert missing.value.code == "InvalidAMIID.NotFound"
    dry = ec2.CreateTagsRequest(resources=[image_id], tags=[ec2.Tag(key="a")], dry_run=True)
    with pytest.raises(DryRunOperation):
        create_tags(services, principal, dry)
    assert seen(services, principal) == {}
    tag(services, principal, image_id, a="1")
    with pytest.raises(DryRunOperation):
        delete_tags(services, principal, ec2.DeleteTagsRequest(resources=[image_id], dry_run=True))
    assert seen(services, principal) == {(image_id, "a"): "1"}


def test_fifty_tags_and_no_more(services: Services, principal: Principal, make_image: MakeImage) -> None:
    image_id = make_image(principal)
    tag(services, principal, image_id, **{f"k{number}": "" for number in range(50)})
    tag(services, principal, image_id, k0="replaced")
    with pytest.raises(TagLimitExceeded):
        tag(services, principal, image_id, another="")
    assert len(seen(services, principal)) == 50


@pytest.mark.parametrize(
    ("resources", "tags", "refusal", "code"),
    [
        (["ami-xyz"], [ec2.Tag(key="a")], Malformed, "InvalidAMIID.Malformed"),
        (["snap-1"], [ec2.Tag(key="a")], Malformed, "InvalidSnapshotID.Malformed"),
        (["nonsense"], [ec2.Tag(key="a")], NotFound, "InvalidID"),
        (["snap-12345678"], [ec2.Tag(key="a")], NotFound, "InvalidSnapshot.NotFound"),
        (["i-12345678"], [ec2.Tag(key="a")], NotFound, "InvalidInstanceID.NotFound"),
        (["vol-12345678"], [ec2.Tag(key="a")], NotFound, "InvalidVolume.NotFound"),
        (["i-12345678"] * 1001, [ec2.Tag(key="a")], InvalidParameterValue, "InvalidParameterValue"),
        ([], [ec2.Tag(key="a")], MissingParameter, "MissingParameter"),
        (["ami-12345678"], [], MissingParameter, "MissingParameter"),
        (["ami-12345678"], [ec2.Tag(value="a")], MissingParameter, "MissingParameter"),
        (["ami-12345678"], [ec2.Tag(key="")], InvalidTagKeyMalformed, "InvalidTagKey.Malformed"),
        (["ami-12345678"], [ec2.Tag(key="aws:x")], InvalidParameterValue, "InvalidParameterValue"),
        (["ami-12345678"], [ec2.Tag(key="a"), ec2.Tag(key="a")], InvalidParameterValue, "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_what_cannot_be_tagged_is_refused(
    services: Services,
    principal: Principal,
    resources: list[str],
    tags: list[ec2.Tag],
    refusal: type[Refusal],
    code: str,
) -> None:
    with pytest.raises(refusal) as refused:
        create_tags(services, principal, ec2.CreateTagsRequest(resources=resources, tags=tags))
    assert refused.value.code == code


def test_anothers_private_things_cannot_be_tagged(
    services: Services,
    principal: Principal,
    other_principal: Principal,
    make_image: MakeImage,
    make_snapshot: MakeSnapshot,
) -> None:
    for resource in (make_image(principal), make_snapshot(principal), make_snapshot(other_principal, is_internal=True)):
        with pytest.raises(NotFound):
            tag(services, other_principal, resource, a="1")


def test_pages_of_tags(services: Services, principal: Principal, make_image: MakeImage) -> None:
    image_id = make_image(principal)
    tag(services, principal, image_id, **{f"k{number:02}": "" for number in range(12)})
    request = ec2.DescribeTagsRequest(max_results=5)
    keys: list[str | None] = []
    while True:
        answer = describe_tags(services, principal, request)
        keys += [each.key for each in answer.tags or []]
        if answer.next_token is None:
            break
        request = structs.replace(request, next_token=answer.next_token)
    assert keys == [f"k{number:02}" for number in range(12)]


def test_tags_at_birth_are_for_what_the_call_makes() -> None:
    both = [
        ec2.TagSpecification(resource_type="instance", tags=[ec2.Tag(key="a", value="1")]),
        ec2.TagSpecification(resource_type="volume", tags=[ec2.Tag(key="b")]),
    ]
    assert birth_tags(both, ("instance", "volume")) == {"instance": {"a": "1"}, "volume": {"b": ""}}
    assert birth_tags(None, ("instance",)) == {}
    for wrong in (
        both,
        both[:1] * 2,
        [ec2.TagSpecification(tags=[ec2.Tag(key="a")])],
        [ec2.TagSpecification(resource_type="instance")],
    ):
        with pytest.raises(Refusal):
            birth_tags(wrong, ("instance",))
