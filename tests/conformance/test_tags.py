"""CreateTags, DeleteTags and DescribeTags through boto3: their limits, their refusals, and whose a tag is."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.server.edge import running_edge
from tests.support.services import make_account, open_services

LENIENT = Config(parameter_validation=False, retries={"max_attempts": 0})


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any, str, Callable[[], str]]]:
    """Two accounts' EC2, the second's number, and what makes an image of the first's."""
    with open_services(tmp_path_factory.mktemp("tags") / "data") as services:
        (first, _), (second, _) = make_account(services, "first"), make_account(services, "second")
        with running_edge(services, first) as edge:
            mine, ebs = edge.client("ec2", config=LENIENT), edge.client("ebs")
            keys = {"aws_access_key_id": second.access_key_id, "aws_secret_access_key": second.secret}

            def make() -> str:
                snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
                ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=0)
                disk = {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot_id}}
                made = mine.register_image(
                    Name=f"of {snapshot_id}", RootDeviceName="/dev/sda1", BlockDeviceMappings=[disk],
                    Architecture="x86_64", VirtualizationType="hvm",
                )  # fmt: skip
                return str(made["ImageId"])

            yield mine, edge.client("ec2", config=LENIENT, **keys), second.account_id, make


def refusal(call: Callable[..., Any], **words: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**words)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def pairs(ec2: Any, **words: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in ec2.describe_tags(**words)["Tags"]}


def of(*resource_ids: str) -> list[dict[str, Any]]:
    return [{"Name": "resource-id", "Values": list(resource_ids)}]


@pytest.mark.proves("ec2", "CreateTags", "DescribeTags")
def test_a_resource_has_fifty_tags_at_most_and_refused_tags_are_none(clients: Any) -> None:
    ec2, _, _, make = clients
    image_id, other_id = make(), make()
    full = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    limit = ("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
    assert refusal(ec2.create_tags, Resources=[image_id], Tags=[*full, {"Key": "one more", "Value": ""}]) == limit
    assert pairs(ec2, Filters=of(image_id)) == {}
    ec2.create_tags(Resources=[image_id], Tags=full)
    assert refusal(ec2.create_tags, Resources=[other_id, image_id], Tags=[{"Key": "one more", "Value": ""}]) == limit
    assert pairs(ec2, Filters=of(other_id)) == {}
    ec2.create_tags(Resources=[image_id], Tags=[{"Key": "k7", "Value": "over"}])
    assert len(pairs(ec2, Filters=of(image_id))) == 50 and pairs(ec2, Filters=of(image_id))["k7"] == "over"


@pytest.mark.proves("ec2", "CreateTags", "DeleteTags")
def test_a_request_names_a_thousand_resources_at_most(clients: Any) -> None:
    ec2 = clients[0]
    words: dict[str, Any] = {
        "Resources": [f"ami-{number:017x}" for number in range(1001)],
        "Tags": [{"Key": "a", "Value": ""}],
    }
    text = "A request may name 1000 resources at most; this one names 1001."
    assert refusal(ec2.create_tags, **words) == refusal(ec2.delete_tags, **words) == ("InvalidParameterValue", text)
    words["Resources"] = words["Resources"][:1000]
    assert refusal(ec2.create_tags, **words)[0] == "InvalidAMIID.NotFound"


@pytest.mark.proves("ec2", "CreateTags")
@pytest.mark.parametrize(
    ("resource", "key", "value", "code", "text"),
    [
        ("foo", "k", "", "InvalidID", "The ID 'foo' does not exist"),
        ("ami-zz", "k", "", "InvalidAMIID.Malformed", 'Invalid id: "ami-zz" (expecting "ami-...")'),
        ("ami-12345678", "k", "", "InvalidAMIID.NotFound", "The image id '[ami-12345678]' does not exist"),
        ("snap-12345678", "k", "", "InvalidSnapshot.NotFound", "The snapshot 'snap-12345678' does not exist."),
        ("i-12345678", "k", "", "InvalidInstanceID.NotFound", "The instance ID 'i-12345678' does not exist"),
        ("", "", "", "InvalidTagKey.Malformed", "Tag keys must be between 1 and 127 characters long; got 0."),
        ("", "k" * 128, "", "InvalidTagKey.Malformed", "Tag keys must be between 1 and 127 characters long; got 128."),
        ("", "AWS:x", "", "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use"),
        ("", "k", "v" * 257, "InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters"),
    ],
)
def test_what_cannot_be_tagged_or_be_a_tag_is_refused(
    clients: Any, resource: str, key: str, value: str, code: str, text: str
) -> None:
    ec2, _, _, make = clients
    image_id = make()
    words = {"Resources": [image_id, resource or image_id], "Tags": [{"Key": key, "Value": value}]}
    seen_code, seen_text = refusal(ec2.create_tags, **words)
    assert seen_code == code and text in seen_text
    assert pairs(ec2, Filters=of(image_id)) == {}


@pytest.mark.proves("ec2", "CreateTags", "DeleteTags", "DescribeTags")
def test_a_key_takes_any_value_a_key_with_an_empty_value_only_that_and_nothing_takes_all(clients: Any) -> None:
    ec2, _, _, make = clients
    image_id = make()
    words = {"empty": "", "full": "1", "kept": "2", "any": "3"}
    ec2.create_tags(Resources=[image_id], Tags=[{"Key": key, "Value": value} for key, value in words.items()])
    gone = [{"Key": "empty", "Value": ""}, {"Key": "full", "Value": ""}, {"Key": "kept", "Value": "other"}]
    ec2.delete_tags(Resources=[image_id], Tags=[*gone, {"Key": "any"}, {"Key": "absent"}])
    assert pairs(ec2, Filters=of(image_id)) == {"full": "1", "kept": "2"}
    ec2.delete_tags(Resources=[image_id])
    assert pairs(ec2, Filters=of(image_id)) == {}


@pytest.mark.proves("ec2", "CreateTags", "DeleteTags", "DescribeTags")
def test_who_tagged_what_it_does_not_see_any_more_may_still_untag_it_but_not_tag_it(clients: Any) -> None:
    ec2, other, other_id, make = clients
    image_id = make()
    missing = ("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    tag = {"Resources": [image_id], "Tags": [{"Key": "mine", "Value": "x"}]}
    assert refusal(other.create_tags, **tag) == refusal(other.delete_tags, **tag) == missing
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"UserId": other_id}]})
    other.create_tags(**tag)
    assert pairs(ec2, Filters=of(image_id)) == {}
    ec2.reset_image_attribute(ImageId=image_id, Attribute="launchPermission")
    assert refusal(other.create_tags, **tag) == missing
    other.delete_tags(**tag)
    assert pairs(other, Filters=of(image_id)) == {}
    assert refusal(other.delete_tags, **tag) == missing


@pytest.mark.proves("ec2", "CreateTags")
def test_an_image_that_the_accounts_settings_hide_is_not_there_to_be_tagged(clients: Any) -> None:
    ec2, other, other_id, make = clients
    image_id = make()
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"UserId": other_id}]})
    tag = {"Resources": [image_id], "Tags": [{"Key": "mine", "Value": "x"}]}
    other.replace_image_criteria_in_allowed_images_settings(ImageCriteria=[{"ImageProviders": ["none"]}])
    other.enable_allowed_images_settings(AllowedImagesSettingsState="enabled")
    assert refusal(other.create_tags, **tag)[0] == "InvalidAMIID.NotFound"
    other.enable_allowed_images_settings(AllowedImagesSettingsState="audit-mode")
    other.create_tags(**tag)
    other.disable_allowed_images_settings()
    assert pairs(other, Filters=of(image_id)) == {"mine": "x"}


@pytest.mark.proves("ec2", "DescribeTags")
def test_pages_of_tags_stay_right_while_tags_come_and_go(clients: Any) -> None:
    ec2, _, _, make = clients
    image_id = make()
    ec2.create_tags(Resources=[image_id], Tags=[{"Key": f"k{number:02}", "Value": ""} for number in range(12)])
    words = {"Filters": of(image_id), "MaxResults": 5}
    first = ec2.describe_tags(**words)
    ec2.delete_tags(Resources=[image_id], Tags=[{"Key": "k04"}, {"Key": "k05"}])
    ec2.create_tags(Resources=[image_id], Tags=[{"Key": "k00a", "Value": ""}, {"Key": "k06a", "Value": ""}])
    second = ec2.describe_tags(**words, NextToken=first["NextToken"])
    assert [tag["Key"] for tag in second["Tags"]] == ["k06", "k06a", "k07", "k08", "k09"]
    last = ec2.describe_tags(**words, NextToken=second["NextToken"])
    assert [tag["Key"] for tag in last["Tags"]] == ["k10", "k11"] and "NextToken" not in last
    bad = ("InvalidNextToken", "The NextToken value is not valid.")
    assert refusal(ec2.describe_tags, MaxResults=5, NextToken=first["NextToken"]) == bad


@pytest.mark.proves("ec2", "DescribeTags")
def test_tags_are_found_by_each_of_their_filters(clients: Any) -> None:
    ec2, _, _, make = clients
    image_id = make()
    ec2.create_tags(Resources=[image_id], Tags=[{"Key": "Stage", "Value": "prod-1"}, {"Key": "stage", "Value": "test"}])
    for name, value, found in (
        ("key", "Sta*", {"Stage"}),
        ("value", "prod-?", {"Stage"}),
        ("value", "PROD-1", set()),
        ("resource-type", "image", {"Stage", "stage"}),
        ("resource-type", "snapshot", set()),
        ("tag:stage", "*", {"stage"}),
    ):
        filters = [*of(image_id), {"Name": name, "Values": [value]}]
        assert set(pairs(ec2, Filters=filters)) == found, name
    wrong = [{"Name": "colour", "Values": ["red"]}]
    assert refusal(ec2.describe_tags, Filters=wrong) == ("InvalidParameterValue", "The filter 'colour' is invalid")
    text = "Value ( 4 ) for parameter maxResults is invalid. Expecting a value greater than or equal to 5."
    assert refusal(ec2.describe_tags, MaxResults=4) == ("InvalidParameterValue", text)
