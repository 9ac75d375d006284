"""Lineage, usage and references of images as stock boto3 asks for them.  Source: EC2 API reference, the calls named in the marks."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from sqlalchemy import update

from amiable.api.accounts import NewAccount
from amiable.database import instances, schema
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import TINY, make_image
from tests.server.edge import Edge, running_edge
from tests.support.clock import Clock, sign_by
from tests.support.services import make_account, open_services
from tests.support.work import run_jobs

REGION = "us-east-1"
UNKNOWN = "ami-0123456789abcdef0"
INSTANCES = [{"ResourceType": "ec2:Instance"}]


class Hand:
    """One account at the edge."""

    def __init__(self, edge: Edge, account: NewAccount, stack: ExitStack) -> None:
        self.services, self.account_id = edge.services, account.account_id
        self.principal = Principal(account.account_id, account.access_key_id, REGION)
        keys = {"aws_access_key_id": account.access_key_id, "aws_secret_access_key": account.secret}
        self.ec2 = stack.enter_context(closing(edge.client("ec2", **keys)))
        unchecked = Config(parameter_validation=False, retries={"max_attempts": 0})
        self.unchecked = stack.enter_context(closing(edge.client("ec2", config=unchecked, **keys)))
        self.ssm = stack.enter_context(closing(edge.client("ssm", **keys)))

    def image(self, **facts: Any) -> str:
        return make_image(self.services, self.principal, **facts).id

    def run(self, image_id: str, count: int = 1) -> list[str]:
        made = self.ec2.run_instances(ImageId=image_id, InstanceType=TINY, MinCount=count, MaxCount=count)["Instances"]
        return [each["InstanceId"] for each in made]

    def end(self, instance_ids: list[str]) -> None:
        """Lets pending instances be over."""
        with self.services.database.write() as c:
            for instance_id in instance_ids:
                instances.set_state(c, instance_id, Event.LAUNCH_FAILED, now=self.services.now())


@pytest.fixture(scope="module")
def clock() -> Iterator[Clock]:
    """What the installation's clock shows, and botocore's."""
    with pytest.MonkeyPatch.context() as patch:
        made = Clock()
        sign_by(made, patch)
        yield made


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[tuple[Hand, Hand, Hand]]:
    """The owner of images, and two others."""
    data = tmp_path_factory.mktemp("lineage") / "data"
    with open_services(data, clock=clock, instances_max=1000) as services, ExitStack() as stack:
        accounts = [make_account(services, name)[0] for name in ("owner", "one", "two")]
        edge = stack.enter_context(running_edge(services, accounts[0]))
        owner, one, two = (Hand(edge, each, stack) for each in accounts)
        yield owner, one, two


@pytest.fixture(autouse=True)
def _time_passes(clock: Clock, hands: tuple[Hand, Hand, Hand]) -> Iterator[None]:
    """Every test begins later than the one before, and leaves room on the host."""
    yield
    clock.pass_(minutes=1)
    with hands[0].services.database.write() as c:
        c.execute(update(schema.instance).values(terminated_at=clock.moment - timedelta(hours=2), state="terminated"))


@pytest.fixture
def owner(hands: tuple[Hand, Hand, Hand]) -> Hand:
    return hands[0]


@pytest.fixture
def other(hands: tuple[Hand, Hand, Hand]) -> Hand:
    return hands[1]


def refused(call: Any, **parameters: Any) -> tuple[str, str]:
    """Code and text of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def refused_unchecked(hand: Hand, operation: str, **parameters: Any) -> tuple[str, str]:
    """The refusal of what botocore itself would not send."""
    return refused(lambda: hand.unchecked._make_api_call(operation, parameters))


def not_found(image_id: str) -> tuple[str, str]:
    return "InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist"


MALFORMED = ("InvalidAMIID.Malformed", 'Invalid id: "x" (expecting "ami-...")')


# ── GetImageAncestry ────────────────────────────────────────────────────────────────────────────────────────────────────


def chain_of(hand: Hand, image_id: str) -> list[str]:
    entries = hand.ec2.get_image_ancestry(ImageId=image_id)["ImageAncestryEntries"]
    return [entry["ImageId"] for entry in entries]


@pytest.mark.proves("ec2", "GetImageAncestry")
def test_the_chain_begins_with_the_image_and_outlives_its_parents(owner: Hand) -> None:
    root = owner.image(ancestor_ami_ids=("ami-00000001",))
    middle = owner.image(source_image_id=root, source_image_region=REGION)
    leaf = owner.image(source_image_id=middle, source_image_region=REGION)
    owner.ec2.deregister_image(ImageId=middle)
    owner.ec2.deregister_image(ImageId=root)
    entries = owner.ec2.get_image_ancestry(ImageId=leaf)["ImageAncestryEntries"]
    assert [(e["ImageId"], e.get("SourceImageId"), e.get("SourceImageRegion")) for e in entries] == [
        (leaf, middle, REGION),
        (middle, root, REGION),
        (root, None, None),  # what a classic manifest names as its ancestors is another thing
    ]
    assert all(entry["CreationDate"].tzinfo is not None for entry in entries)
    assert all("ImageOwnerAlias" not in entry for entry in entries)


@pytest.mark.proves("ec2", "GetImageAncestry")
def test_an_image_that_was_registered_is_its_whole_chain(owner: Hand) -> None:
    image_id = owner.image()
    assert chain_of(owner, image_id) == [image_id]


def test_a_chain_ends_at_a_public_image_of_an_owner_with_an_alias(owner: Hand, other: Hand) -> None:
    before = other.image()
    public = other.image(source_image_id=before, source_image_region=REGION, grantees=frozenset({"all"}))
    mine = owner.image(source_image_id=public, source_image_region=REGION)
    assert chain_of(owner, mine) == [mine, public, before]
    with owner.services.database.write() as c:
        aliased = schema.account.c.id == other.account_id
        c.execute(update(schema.account).where(aliased).values(owner_alias="amazon"))
    entries = owner.ec2.get_image_ancestry(ImageId=mine)["ImageAncestryEntries"]
    assert [entry["ImageId"] for entry in entries] == [mine, public]
    assert entries[-1]["ImageOwnerAlias"] == "amazon"


def test_a_chain_has_fifty_entries_at_most(owner: Hand) -> None:
    made = [owner.image()]
    for _ in range(54):
        made.append(owner.image(source_image_id=made[-1], source_image_region=REGION))
    assert chain_of(owner, made[-1]) == made[:-51:-1]


def test_a_chain_goes_on_in_another_region_and_names_what_was_never_here(owner: Hand) -> None:
    elsewhere = owner.image(region="eu-west-1", source_image_id=UNKNOWN, source_image_region="us-gov-west-1")
    copy = owner.image(source_image_id=elsewhere, source_image_region="eu-west-1")
    assert chain_of(owner, copy) == [copy, elsewhere, UNKNOWN]


def test_a_chain_that_bites_its_tail_ends(owner: Hand) -> None:
    first, second = owner.image(), owner.image()
    with owner.services.database.write() as c:
        for mine, source in ((first, second), (second, first)):
            c.execute(update(schema.image).where(schema.image.c.id == mine).values(source_image_id=source))
    assert chain_of(owner, first) == [first, second]


def test_the_ancestry_of_what_is_not_there_gone_or_anothers_is_refused(owner: Hand, other: Hand) -> None:
    ask = owner.ec2.get_image_ancestry
    theirs, gone = other.image(), owner.image()
    owner.ec2.deregister_image(ImageId=gone)
    assert refused(ask, ImageId="x") == MALFORMED
    assert refused(ask, ImageId=UNKNOWN) == not_found(UNKNOWN)
    assert refused(ask, ImageId=theirs) == not_found(theirs)
    assert refused(ask, ImageId=gone) == (
        "InvalidAMIID.Unavailable",
        f"The image id '[{gone}]' is no longer available",
    )
    assert refused(ask, ImageId=owner.image(), DryRun=True)[0] == "DryRunOperation"


# ── DescribeImageReferences ─────────────────────────────────────────────────────────────────────────────────────────────


def references(hand: Hand, *image_ids: str, **words: Any) -> list[tuple[str, str, str]]:
    asked = words if "ResourceTypes" in words else {"IncludeAllResourceTypes": True, **words}
    found = hand.ec2.describe_image_references(ImageIds=list(image_ids), **asked)["ImageReferences"]
    return [(each["ImageId"], each["ResourceType"], each["Arn"]) for each in found]


@pytest.mark.proves("ec2", "DescribeImageReferences")
def test_instances_and_parameters_that_use_an_image_are_found(owner: Hand, other: Hand) -> None:
    image_id = owner.image(grantees=frozenset({"all"}))
    (instance_id,) = owner.run(image_id)
    other.run(image_id)  # another account's use is its own business
    owner.ssm.put_parameter(Name="/golden", Value=image_id, Type="String", DataType="aws:ec2:image")
    owner.ssm.put_parameter(Name="text", Value=image_id, Type="String")
    run_jobs(owner.services)
    account = owner.account_id
    mine = (image_id, "ec2:Instance", f"arn:aws:ec2:{REGION}:{account}:instance/{instance_id}")
    parameter = (image_id, "ssm:Parameter", f"arn:aws:ssm:{REGION}:{account}:parameter/golden")
    assert references(owner, image_id) == [mine, parameter]
    assert references(owner, image_id, ResourceTypes=INSTANCES) == [mine]
    absent = ("ec2:LaunchTemplate", "imagebuilder:ImageRecipe", "imagebuilder:ContainerRecipe")
    assert references(owner, image_id, ResourceTypes=[{"ResourceType": name} for name in absent]) == []


def test_references_are_told_apart_by_the_instances_state_also_beside_all_types(owner: Hand) -> None:
    image_id = owner.image()
    pending, failed = owner.run(image_id, 2)
    owner.end([failed])

    def of_states(*states: str, **words: Any) -> set[str]:
        options = [{"OptionName": "state-name", "OptionValues": list(states)}]
        types = [{"ResourceType": "ec2:Instance", "ResourceTypeOptions": options}]
        return {arn.rpartition("/")[2] for _, _, arn in references(owner, image_id, ResourceTypes=types, **words)}

    assert of_states("pending") == {pending}
    assert of_states("terminated") == {failed}
    assert of_states("pending", "terminated") == {pending, failed}
    assert of_states("stopped", IncludeAllResourceTypes=True) == set()
    assert {arn.rpartition("/")[2] for _, _, arn in references(owner, image_id)} == {pending, failed}


def test_an_image_that_is_gone_or_no_longer_shared_is_still_referred_to(owner: Hand, other: Hand) -> None:
    image_id = other.image(grantees=frozenset({owner.account_id}))
    (instance_id,) = owner.run(image_id)
    other.ec2.deregister_image(ImageId=image_id)
    assert [arn.rpartition("/")[2] for _, _, arn in references(owner, image_id)] == [instance_id]
    running = {"ResourceTypeOptions": [{"OptionName": "state-name", "OptionValues": ["running"]}]}
    for asked in ({"ResourceType": "ssm:Parameter"}, {"ResourceType": "ec2:Instance", **running}):  # used, but not so
        assert references(owner, image_id, ResourceTypes=[asked]) == []


@pytest.mark.proves("ec2", "DescribeImageReferences")
def test_references_are_read_in_pages(owner: Hand) -> None:
    image_ids = [owner.image(), owner.image()]
    made = {instance_id for image_id in image_ids for instance_id in owner.run(image_id, 6)}
    pages = list(
        owner.ec2.get_paginator("describe_image_references").paginate(
            ImageIds=image_ids, IncludeAllResourceTypes=True, PaginationConfig={"PageSize": 5}
        )
    )
    assert [len(page["ImageReferences"]) for page in pages] == [5, 5, 2]
    assert {each["Arn"].rpartition("/")[2] for page in pages for each in page["ImageReferences"]} == made


def test_references_are_refused_in_ec2s_words(owner: Hand, other: Hand) -> None:
    ask, image_id, theirs = owner.ec2.describe_image_references, owner.image(), other.image()
    every = {"IncludeAllResourceTypes": True}
    assert refused(ask, ImageIds=["x"], **every) == MALFORMED
    assert refused(ask, ImageIds=[UNKNOWN], **every) == not_found(UNKNOWN)
    assert refused(ask, ImageIds=[image_id, theirs, UNKNOWN], **every) == (
        "InvalidAMIID.NotFound",
        f"The image ids '[{theirs}, {UNKNOWN}]' do not exist",
    )
    assert refused(ask, ImageIds=[f"ami-{n:017x}" for n in range(11)], **every) == (
        "InvalidParameterValue",
        "Value (11 items) for parameter ImageId is invalid. Expecting between 1 and 10 items.",
    )
    neither = ("InvalidParameterCombination", "Either IncludeAllResourceTypes or ResourceTypes must be specified.")
    assert refused(ask, ImageIds=[image_id]) == neither
    assert refused(ask, ImageIds=[image_id], IncludeAllResourceTypes=False) == neither
    assert refused(ask, ImageIds=[image_id], ResourceTypes=INSTANCES * 2) == (
        "InvalidParameterCombination",
        "The resource type ec2:Instance is given twice.",
    )
    code, text = refused(ask, ImageIds=[image_id], ResourceTypes=[{"ResourceType": "ec2:Volume"}])
    assert code == "InvalidParameterValue" and text.startswith(
        "Value (ec2:Volume) for parameter ResourceType.1.ResourceType is invalid."
    )
    small = {"ImageIds": [image_id], "MaxResults": 4, **every}
    assert refused_unchecked(owner, "DescribeImageReferences", **small)[0] == "InvalidParameterValue"
    assert refused(ask, ImageIds=[image_id], NextToken="x", **every)[0] == "InvalidNextToken"
    assert refused(ask, ImageIds=[image_id], DryRun=True, **every)[0] == "DryRunOperation"


@pytest.mark.parametrize(
    ("resource_type", "option", "values", "code"),
    [
        ("ec2:Instance", "state-name", ["asleep"], "InvalidParameterValue"),
        ("ec2:Instance", "version-depth", ["1"], "InvalidParameterCombination"),
        ("ssm:Parameter", "state-name", ["running"], "InvalidParameterCombination"),
        ("ec2:LaunchTemplate", "version-depth", ["0"], "InvalidParameterValue"),
        ("ec2:LaunchTemplate", "version-depth", ["10001"], "InvalidParameterValue"),
        ("ec2:LaunchTemplate", "version-depth", ["1", "2"], "InvalidParameterValue"),
        ("ec2:LaunchTemplate", "version-depth", ["many"], "InvalidParameterValue"),
    ],
)
def test_options_of_references_are_checked(
    owner: Hand, resource_type: str, option: str, values: list[str], code: str
) -> None:
    options = [{"OptionName": option, "OptionValues": values}]
    types = [{"ResourceType": resource_type, "ResourceTypeOptions": options}]
    assert refused(owner.ec2.describe_image_references, ImageIds=[owner.image()], ResourceTypes=types)[0] == code


# ── DescribeInstanceImageMetadata ───────────────────────────────────────────────────────────────────────────────────────


def metadata(hand: Hand, **words: Any) -> dict[str, Any]:
    """Instance → what is said of it."""
    found = hand.ec2.describe_instance_image_metadata(**words)["InstanceImageMetadata"]
    return {each["InstanceId"]: each for each in found}


@pytest.mark.proves("ec2", "DescribeInstanceImageMetadata")
def test_an_image_is_described_after_it_was_deregistered_or_made_private(owner: Hand, other: Hand) -> None:
    facts = {
        "name": "golden",
        "grantees": frozenset({owner.account_id}),
        "deprecation_at": datetime(2030, 1, 1, tzinfo=UTC),
    }
    image_id = other.image(**facts)
    (instance_id,) = owner.run(image_id)
    owner.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": "role", "Value": "web"}])
    said = metadata(owner)[instance_id]
    assert (said["InstanceType"], said["OwnerId"], said["State"]) == (
        TINY,
        owner.account_id,
        {"Code": 0, "Name": "pending"},
    )
    assert said["Tags"] == [{"Key": "role", "Value": "web"}]
    assert said["AvailabilityZone"].startswith(REGION) and said["ZoneId"].startswith("use1-az")
    image = said["ImageMetadata"]
    assert (image["ImageId"], image["Name"], image["OwnerId"]) == (image_id, "golden", other.account_id)
    assert (image["State"], image["IsPublic"], image["ImageAllowed"]) == ("available", False, True)
    assert image["CreationDate"].endswith("Z") and image["DeprecationTime"] == "2030-01-01T00:00:00.000Z"
    other.ec2.reset_image_attribute(ImageId=image_id, Attribute="launchPermission")
    assert metadata(owner)[instance_id]["ImageMetadata"] == image
    other.ec2.deregister_image(ImageId=image_id)
    assert metadata(owner)[instance_id]["ImageMetadata"] == {**image, "State": "deregistered"}


@pytest.mark.proves("ec2", "DescribeInstanceImageMetadata")
def test_an_instance_lives_on_without_its_image(owner: Hand) -> None:
    """LIF-04, but for CreateImage."""
    image_id = owner.image(name="short-lived")
    (instance_id,) = owner.run(image_id)

    def happen(event: Event) -> None:
        with owner.services.database.write() as c:
            instances.set_state(c, instance_id, event, now=owner.services.now())

    happen(Event.BOOTED)
    owner.ec2.deregister_image(ImageId=image_id)
    owner.ec2.reboot_instances(InstanceIds=[instance_id])
    owner.ec2.stop_instances(InstanceIds=[instance_id])
    happen(Event.STOPPED)
    owner.ec2.start_instances(InstanceIds=[instance_id])
    said = metadata(owner, InstanceIds=[instance_id])[instance_id]
    assert said["State"]["Name"] == "pending"
    assert (said["ImageMetadata"]["ImageId"], said["ImageMetadata"]["Name"]) == (image_id, "short-lived")
    assert said["ImageMetadata"]["State"] == "deregistered"


def test_instances_whose_image_is_not_allowed_are_found(
    owner: Hand, other: Hand, request: pytest.FixtureRequest
) -> None:
    theirs, mine = owner.run(other.image(grantees=frozenset({"all"})))[0], owner.run(owner.image())[0]
    nobody = {"ImageProviders": ["none"]}
    owner.ec2.replace_image_criteria_in_allowed_images_settings(ImageCriteria=[nobody])
    owner.ec2.enable_allowed_images_settings(AllowedImagesSettingsState="audit-mode")
    request.addfinalizer(owner.ec2.disable_allowed_images_settings)
    assert {key: said["ImageMetadata"]["ImageAllowed"] for key, said in metadata(owner).items()} == {
        theirs: False,
        mine: True,
    }
    assert list(metadata(owner, Filters=[{"Name": "image-allowed", "Values": ["false"]}])) == [theirs]


def test_metadata_is_filtered(owner: Hand, other: Hand) -> None:
    theirs, mine = owner.run(other.image(grantees=frozenset({"all"})))[0], owner.run(owner.image())[0]
    owner.ec2.create_tags(Resources=[mine], Tags=[{"Key": "role", "Value": "web"}])
    zone = metadata(owner)[mine]["AvailabilityZone"]
    launched = metadata(owner)[mine]["LaunchTime"]
    with owner.services.database.write() as c:
        aliased = schema.account.c.id == other.account_id
        c.execute(update(schema.account).where(aliased).values(owner_alias="amazon"))
    both = {mine, theirs}
    for name, value, expected in [
        ("availability-zone", zone, both),
        ("zone-id", metadata(owner)[mine]["ZoneId"], both),
        ("instance-id", mine, {mine}),
        ("instance-state-name", "running", set()),
        ("instance-type", "amiable.*", both),
        ("launch-time", f"{launched:%Y-%m-%d}T*", both),
        ("owner-id", owner.account_id, {mine}),
        ("owner-alias", "amazon", {theirs}),
        ("tag:role", "web", {mine}),
        ("tag-key", "role", {mine}),
        ("image-allowed", "true", both),
    ]:
        assert set(metadata(owner, Filters=[{"Name": name, "Values": [value]}])) == expected, name
    code, text = refused(owner.ec2.describe_instance_image_metadata, Filters=[{"Name": "image-id", "Values": ["x"]}])
    assert (code, text) == ("InvalidParameterValue", "The filter 'image-id' is invalid")


@pytest.mark.proves("ec2", "DescribeInstanceImageMetadata")
def test_metadata_is_read_in_pages_of_one_to_a_thousand(owner: Hand, other: Hand) -> None:
    made = set(owner.run(owner.image(), 7))
    other.run(other.image())
    pages = list(owner.ec2.get_paginator("describe_instance_image_metadata").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(page["InstanceImageMetadata"]) for page in pages] == [3, 3, 1]
    assert {each["InstanceId"] for page in pages for each in page["InstanceImageMetadata"]} == made
    ask = owner.ec2.describe_instance_image_metadata
    assert refused(ask, MaxResults=1001) == (
        "InvalidParameterValue",
        "Value (1001) for parameter MaxResults is invalid. Expecting a value less than or equal to 1000.",
    )
    assert refused_unchecked(owner, "DescribeInstanceImageMetadata", MaxResults=0)[0] == "InvalidParameterValue"
    assert refused(ask, NextToken="x")[0] == "InvalidNextToken"
    assert refused(ask, DryRun=True)[0] == "DryRunOperation"


@pytest.mark.parametrize("wrong", ["x", "i-0123456789abcdef0", "theirs"])
def test_an_instance_id_that_is_wrong_in_any_way_is_not_found(owner: Hand, other: Hand, wrong: str) -> None:
    mine = owner.run(owner.image())
    bad = other.run(other.image())[0] if wrong == "theirs" else wrong
    assert refused(owner.ec2.describe_instance_image_metadata, InstanceIds=[*mine, bad]) == (
        "InvalidInstanceID.NotFound",
        f"The instance ID '{bad}' does not exist",
    )


# ── usage reports ───────────────────────────────────────────────────────────────────────────────────────────────────────

REPORTS = (
    "CreateImageUsageReport",
    "DescribeImageUsageReports",
    "DescribeImageUsageReportEntries",
    "DeleteImageUsageReport",
)


def report(hand: Hand, image_id: str, **words: Any) -> str:
    asked = {"ImageId": image_id, "ResourceTypes": INSTANCES, **words}
    return str(hand.ec2.create_image_usage_report(**asked)["ReportId"])


@pytest.mark.proves("ec2", *REPORTS)
def test_a_report_counts_what_other_accounts_run(hands: tuple[Hand, Hand, Hand], clock: Clock) -> None:
    owner, one, two = hands
    image_id = owner.image(grantees=frozenset({one.account_id, two.account_id}))
    owner.run(image_id)
    one.run(image_id, 3)
    ended = two.run(image_id, 2)[0]
    two.end([ended])
    tags = [{"ResourceType": "image-usage-report", "Tags": [{"Key": "for", "Value": "audit"}]}]
    report_id = report(owner, image_id, TagSpecifications=tags)
    (pending,) = owner.ec2.describe_image_usage_reports(ReportIds=[report_id])["ImageUsageReports"]
    assert (pending["State"], pending["ImageId"]) == ("pending", image_id)
    assert pending["ResourceTypes"] == [{"ResourceType": "ec2:Instance"}]
    assert pending["CreationTime"] == clock.moment and pending["ExpirationTime"] == clock.moment + timedelta(days=30)
    assert pending["Tags"] == [{"Key": "for", "Value": "audit"}]
    assert "AccountIds" not in pending
    assert owner.ec2.describe_image_usage_report_entries(ReportIds=[report_id])["ImageUsageReportEntries"] == []
    run_jobs(owner.services)
    owner.ec2.get_waiter("image_usage_report_available").wait(
        ReportIds=[report_id], WaiterConfig={"Delay": 0, "MaxAttempts": 1}
    )
    entries = owner.ec2.describe_image_usage_report_entries(ReportIds=[report_id])["ImageUsageReportEntries"]
    said = {
        "ResourceType": "ec2:Instance",
        "ReportId": report_id,
        "ImageId": image_id,
        "ReportCreationTime": clock.moment,
    }
    assert sorted(entries, key=lambda it: -it["UsageCount"]) == [
        {**said, "AccountId": one.account_id, "UsageCount": 3},
        {**said, "AccountId": two.account_id, "UsageCount": 1},
    ]
    one.run(image_id)  # a report is of its moment
    assert owner.ec2.describe_image_usage_report_entries(ReportIds=[report_id])["ImageUsageReportEntries"] == entries
    assert owner.ec2.delete_image_usage_report(ReportId=report_id)["Return"] is True
    assert owner.ec2.describe_image_usage_reports(ImageIds=[image_id])["ImageUsageReports"] == []
    assert owner.ec2.describe_image_usage_report_entries(ImageIds=[image_id])["ImageUsageReportEntries"] == []


def test_a_report_may_be_of_some_accounts_and_of_launch_templates_of_which_there_are_none(
    hands: tuple[Hand, Hand, Hand],
) -> None:
    owner, one, two = hands
    image_id = owner.image(grantees=frozenset({"all"}))
    one.run(image_id)
    two.run(image_id)
    depth = [{"OptionName": "version-depth", "OptionValues": ["100"]}]
    types = [*INSTANCES, {"ResourceType": "ec2:LaunchTemplate", "ResourceTypeOptions": depth}]
    report_id = report(owner, image_id, AccountIds=[two.account_id], ResourceTypes=types)
    default = report(owner, image_id, ResourceTypes=[{"ResourceType": "ec2:LaunchTemplate"}])
    run_jobs(owner.services)
    found = owner.ec2.describe_image_usage_reports(ImageIds=[image_id])["ImageUsageReports"]
    made = {it["ReportId"]: it for it in found}
    assert made[report_id]["AccountIds"] == [two.account_id] and made[report_id]["ResourceTypes"] == types
    assert made[default]["ResourceTypes"][0]["ResourceTypeOptions"][0]["OptionValues"] == ["20"]
    entries = owner.ec2.describe_image_usage_report_entries(ImageIds=[image_id])["ImageUsageReportEntries"]
    assert [(it["ReportId"], it["AccountId"], it["UsageCount"]) for it in entries] == [(report_id, two.account_id, 1)]


def test_a_report_is_kept_for_thirty_days(owner: Hand, clock: Clock) -> None:
    image_id = owner.image()
    old = report(owner, image_id)
    clock.pass_(days=30, seconds=-1)
    (kept,) = owner.ec2.describe_image_usage_reports(ImageIds=[image_id])["ImageUsageReports"]
    assert kept["ReportId"] == old
    clock.pass_(seconds=1)
    assert owner.ec2.describe_image_usage_reports()["ImageUsageReports"] == []
    new = report(owner, image_id)
    assert [it["ReportId"] for it in owner.ec2.describe_image_usage_reports()["ImageUsageReports"]] == [new]
    with owner.services.database.read() as c:
        assert c.execute(schema.image_usage_report.select()).one().id == new


@pytest.mark.proves("ec2", "CreateImageUsageReport")
def test_one_token_makes_one_report(owner: Hand) -> None:
    image_id, token = owner.image(), "t" * 128
    first = report(owner, image_id, ClientToken=token)
    assert report(owner, image_id, ClientToken=token) == first
    code, text = refused(report, hand=owner, image_id=owner.image(), ClientToken=token)
    assert (code, text) == ("IdempotentParameterMismatch", "The client token was used before with other parameters.")
    assert refused(report, hand=owner, image_id=image_id, ClientToken="t" * 129)[0] == "InvalidParameterValue"


@pytest.mark.proves("ec2", "DescribeImageUsageReports", "DescribeImageUsageReportEntries")
def test_reports_and_entries_are_filtered_and_read_in_pages(hands: tuple[Hand, Hand, Hand], clock: Clock) -> None:
    clock.pass_(days=31)  # what other tests made is over
    owner, one, _ = hands
    image_ids = [owner.image(grantees=frozenset({"all"})) for _ in range(3)]
    reports: list[str] = []
    days: list[str] = []
    for day, image_id in enumerate(image_ids):
        one.run(image_id)
        clock.pass_(days=1)
        days.append(f"{clock.moment:%Y-%m-%dT%H:%M}")
        tags = [{"ResourceType": "image-usage-report", "Tags": [{"Key": "n", "Value": str(day)}]}]
        reports.append(report(owner, image_id, TagSpecifications=tags))
        if day < 2:
            run_jobs(owner.services)

    def found(**words: Any) -> list[str]:
        return [it["ReportId"] for it in owner.ec2.describe_image_usage_reports(**words)["ImageUsageReports"]]

    def entries(**words: Any) -> list[str]:
        return [
            it["ReportId"] for it in owner.ec2.describe_image_usage_report_entries(**words)["ImageUsageReportEntries"]
        ]

    def one_filter(name: str, value: str) -> list[dict[str, Any]]:
        return [{"Name": name, "Values": [value]}]

    assert found() == reports and entries() == reports[:2]
    assert found(ImageIds=[image_ids[1]]) == entries(ImageIds=[image_ids[1]]) == [reports[1]]
    assert found(Filters=one_filter("state", "pending")) == [reports[2]]
    assert found(Filters=one_filter("creation-time", f"{days[1]}*")) == [reports[1]]
    assert (
        found(Filters=one_filter("tag:n", "0")) == [reports[0]] and found(Filters=one_filter("tag-key", "n")) == reports
    )
    assert entries(Filters=one_filter("account-id", one.account_id)) == reports[:2]
    assert entries(Filters=one_filter("account-id", owner.account_id)) == []
    assert entries(Filters=one_filter("resource-type", "ec2:Instance")) == reports[:2]
    assert entries(Filters=one_filter("creation-time", f"{days[0]}:*")) == [reports[0]]
    for name, key in (
        ("describe_image_usage_reports", "ImageUsageReports"),
        ("describe_image_usage_report_entries", "ImageUsageReportEntries"),
    ):
        pages = owner.ec2.get_paginator(name).paginate(PaginationConfig={"PageSize": 1})
        walked = [it["ReportId"] for page in pages for it in page[key]]
        assert walked == (reports if key == "ImageUsageReports" else reports[:2])
        assert refused(getattr(owner.ec2, name), NextToken="x")[0] == "InvalidNextToken"
        assert refused(getattr(owner.ec2, name), Filters=one_filter("colour", "red"))[0] == "InvalidParameterValue"
        assert refused(getattr(owner.ec2, name), DryRun=True)[0] == "DryRunOperation"


def test_reports_are_refused_in_ec2s_words(owner: Hand, other: Hand) -> None:
    image_id, theirs = owner.image(), other.image(grantees=frozenset({"all"}))
    gone = owner.image()
    owner.ec2.deregister_image(ImageId=gone)
    hidden = other.image()

    def create(**words: Any) -> tuple[str, str]:
        return refused(report, hand=owner, **{"image_id": image_id, **words})

    assert create(image_id="x") == MALFORMED
    assert create(image_id=UNKNOWN) == not_found(UNKNOWN)
    assert create(image_id=theirs)[0] == "AuthFailure"
    assert create(image_id=gone)[0] == "InvalidAMIID.Unavailable"
    assert create(AccountIds=["12"]) == ("InvalidUserID.Malformed", 'Invalid user id: "12"')
    assert create(AccountIds=[f"{n:012d}" for n in range(201)]) == (
        "InvalidParameterValue",
        "Value (201 items) for parameter AccountId is invalid. Expecting between 0 and 200 items.",
    )
    assert refused_unchecked(owner, "CreateImageUsageReport", ImageId=image_id)[0] == "MissingParameter"
    assert create(ResourceTypes=[{"ResourceType": "ssm:Parameter"}])[0] == "InvalidParameterValue"
    assert create(ResourceTypes=INSTANCES * 2)[0] == "InvalidParameterCombination"
    option = [{"OptionName": "version-depth", "OptionValues": ["1"]}]
    assert create(ResourceTypes=[{**INSTANCES[0], "ResourceTypeOptions": option}])[0] == "InvalidParameterCombination"
    assert create(TagSpecifications=[{"ResourceType": "image", "Tags": []}])[0] == "InvalidParameterValue"
    assert create(DryRun=True)[0] == "DryRunOperation"
    assert hidden != theirs
    absent = "amiur-0123456789abcdef0"
    missing = ("InvalidParameterValue", f"The image usage report '{absent}' does not exist")
    assert refused(owner.ec2.delete_image_usage_report, ReportId=absent) == missing
    assert refused(owner.ec2.describe_image_usage_reports, ReportIds=[absent]) == missing
    assert refused(owner.ec2.describe_image_usage_report_entries, ReportIds=[absent]) == missing
    assert refused(owner.ec2.delete_image_usage_report, ReportId="x") == (
        "InvalidParameterValue",
        'Invalid id: "x" (expecting "amiur-...")',
    )
    theirs_report = report(other, theirs)
    assert refused(owner.ec2.delete_image_usage_report, ReportId=theirs_report)[0] == "InvalidParameterValue"
    assert owner.ec2.describe_image_usage_reports(ImageIds=[image_id, theirs])["ImageUsageReports"] == []


def test_a_report_that_is_deleted_while_it_is_counted_stays_deleted(owner: Hand) -> None:
    image_id = owner.image()
    owner.ec2.delete_image_usage_report(ReportId=report(owner, image_id))
    run_jobs(owner.services)
    assert owner.ec2.describe_image_usage_reports(ImageIds=[image_id])["ImageUsageReports"] == []


def test_a_report_may_be_tagged_later(owner: Hand) -> None:
    report_id = report(owner, owner.image())
    owner.ec2.create_tags(Resources=[report_id], Tags=[{"Key": "a", "Value": "b"}])
    (found,) = owner.ec2.describe_image_usage_reports(ReportIds=[report_id])["ImageUsageReports"]
    assert found["Tags"] == [{"Key": "a", "Value": "b"}]
    (tag,) = owner.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [report_id]}])["Tags"]
    assert tag["ResourceType"] == "image-usage-report"
