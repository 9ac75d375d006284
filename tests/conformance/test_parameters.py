"""Parameter Store as stock boto3 asks for it: one test a rule and error code at least, code and text."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.server.edge import Edge
from tests.support.publisher import new_snapshot, publishing_edge, register
from tests.support.services import make_account

REGIONS, ZONES = ("us-east-1", "eu-west-1"), ("us-east-1a", "eu-west-1a")


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with publishing_edge(tmp_path_factory.mktemp("edge"), regions=REGIONS, zones=ZONES) as running:
        yield running


def client_of(edge: Edge, service: str, name: str, **kind: bool) -> Any:
    """A client of a new account; it has ``account_id``."""
    account, _ = make_account(edge.services, name, **kind)
    keys = {"aws_access_key_id": account.access_key_id, "aws_secret_access_key": account.secret}
    made = edge.client(service, **keys)
    made.account_id = account.account_id
    return made


@pytest.fixture(scope="module")
def ssm(edge: Edge) -> Iterator[Any]:
    with closing(edge.client("ssm")) as client:
        yield client


@pytest.fixture(scope="module")
def stranger(edge: Edge) -> Iterator[Any]:
    with closing(client_of(edge, "ssm", "stranger")) as client:
        yield client


@pytest.fixture(scope="module")
def administrator(edge: Edge) -> Iterator[Any]:
    with closing(client_of(edge, "ssm", "administrator", administrator=True)) as client:
        yield client


@pytest.fixture(scope="module")
def image_id(edge: Edge, ec2: Any) -> str:
    return register(ec2, new_snapshot(edge), "pointed-at")


def refusal(call: Any, **parameters: Any) -> tuple[str, str, int]:
    """Code, text and status of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response
    return error["Error"]["Code"], error["Error"]["Message"], error["ResponseMetadata"]["HTTPStatusCode"]


def put(ssm: Any, name: str, value: str = "v", **words: Any) -> int:
    return int(ssm.put_parameter(Name=name, Value=value, **{"Type": "String", **words})["Version"])


@pytest.mark.proves("ssm", "PutParameter", "GetParameter", "GetParameters", "DeleteParameter", "DeleteParameters")
def test_a_parameter_is_put_read_overwritten_and_deleted(edge: Edge, ssm: Any) -> None:
    made = ssm.put_parameter(Name=" /life/one ", Value="1", Type="String", Description="first")
    assert (made["Version"], made["Tier"]) == (1, "Standard")
    first = ssm.get_parameter(Name="/life/one")["Parameter"]
    arn = f"arn:aws:ssm:us-east-1:{edge.account.account_id}:parameter/life/one"
    assert (first["Name"], first["Type"], first["Value"], first["Version"]) == ("/life/one", "String", "1", 1)
    assert (first["ARN"], first["DataType"]) == (arn, "text") and "Selector" not in first
    assert first["LastModifiedDate"].tzinfo is not None
    assert put(ssm, "/life/one", "2", Overwrite=True) == 2
    assert ssm.get_parameter(Name=arn)["Parameter"]["Value"] == "2"
    old = ssm.get_parameter(Name="/life/one:1")["Parameter"]
    assert (old["Value"], old["Name"], old["Selector"]) == ("1", "/life/one", ":1")
    assert ssm.get_parameter(Name=f"{arn}:1")["Parameter"]["Value"] == "1"
    put(ssm, "life-two", "a,b", Type="StringList")
    answer = ssm.get_parameters(Names=["life-two", "/life/none", "/life/one:9", "/life/one:1", "life-two"])
    assert [(each["Name"], each["Value"]) for each in answer["Parameters"]] == [("life-two", "a,b"), ("/life/one", "1")]
    assert answer["InvalidParameters"] == ["/life/none", "/life/one:9"]
    assert ssm.delete_parameter(Name="life-two")["ResponseMetadata"]["HTTPStatusCode"] == 200
    gone = ssm.delete_parameters(Names=["/life/one", "/life/none"])
    assert (gone["DeletedParameters"], gone["InvalidParameters"]) == (["/life/one"], ["/life/none"])
    assert refusal(ssm.get_parameter, Name="/life/one")[0] == "ParameterNotFound"
    assert put(ssm, "/life/one", "again") == 1


def test_what_is_not_there_is_told_by_name(ssm: Any) -> None:
    put(ssm, "/there")
    assert refusal(ssm.get_parameter, Name="/none") == ("ParameterNotFound", "Parameter /none not found.", 400)
    assert refusal(ssm.delete_parameter, Name="/none")[:2] == ("ParameterNotFound", "Parameter /none not found.")
    assert refusal(ssm.get_parameter_history, Name="/none")[0] == "ParameterNotFound"
    expected = "Systems Manager could not find version 7 of /there. Verify the version and try again."
    assert refusal(ssm.get_parameter, Name="/there:7")[:2] == ("ParameterVersionNotFound", expected)
    expected = "Systems Manager could not find label blue of /there. Verify the label and try again."
    assert refusal(ssm.get_parameter, Name="/there:blue")[:2] == ("ParameterVersionNotFound", expected)
    for number in ("0", "9" * 30, "9" * 1000):  # larger than any number that a database keeps
        expected = f"Systems Manager could not find version {number} of /there. Verify the version and try again."
        assert refusal(ssm.get_parameter, Name=f"/there:{number}") == ("ParameterVersionNotFound", expected, 400)
        assert ssm.get_parameters(Names=[f"/there:{number}"])["InvalidParameters"] == [f"/there:{number}"]


def test_an_existing_parameter_is_overwritten_only_on_demand(ssm: Any) -> None:
    put(ssm, "/again")
    code, text, _ = refusal(ssm.put_parameter, Name="/again", Value="2", Type="String")
    assert code == "ParameterAlreadyExists" and text.startswith(
        "The parameter already exists. To overwrite this value,"
    )
    assert ssm.get_parameter(Name="/again")["Parameter"]["Version"] == 1


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("a/b", "ValidationException", "Parameter name must be a fully qualified name."),
        ("awsome", "ValidationException", 'Parameter name: can\'t be prefixed with "aws" or "ssm" (case-insensitive).'),
        ("SSM-x", "ValidationException", 'Parameter name: can\'t be prefixed with "aws" or "ssm" (case-insensitive).'),
        ("/ssm/x", "ValidationException", 'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). If formed'),
        ("/aws/x", "AccessDeniedException", "No access to reserved parameter name: /aws/x."),
        ("/aws/service/x", "AccessDeniedException", "No access to reserved parameter name: /aws/service/x."),
        ("/a b", "ValidationException", 'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). If formed'),
        ("/a//b", "ValidationException", 'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). If formed'),
        ("/a/", "ValidationException", 'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). If formed'),
        ("/a" * 16, "HierarchyLevelLimitExceededException", "A hierarchy can have a maximum of 15 levels."),
        ("x" * 1000, "ValidationException", "Parameter name: with its ARN it is longer than 1011 characters."),
    ],
)  # fmt: skip
def test_a_name_has_its_rules(ssm: Any, name: str, code: str, text: str) -> None:
    seen = refusal(ssm.put_parameter, Name=name, Value="v", Type="String")
    assert seen[0] == code and seen[1].startswith(text), seen


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ({"Value": ""}, "ValidationException", "1 validation error detected: Value '' at 'value' failed to satisfy"),
        ({"Value": "{{ssm:x}}"}, "ValidationException", "Parameter value can't nest another parameter."),
        ({"Value": "x" * 4097}, "ValidationException", "Standard tier parameters support a maximum parameter value of 4096"),
        ({"Value": "x" * 8193, "Tier": "Advanced"}, "ValidationException", "Advanced tier parameters support a maximum"),
        ({"Type": None}, "ValidationException", "A parameter type is required when you create a parameter."),
        ({"Type": "Text"}, "ValidationException", "1 validation error detected: Value (Text) for parameter Type is invalid."),
        ({"DataType": "json"}, "ValidationException", "The following data type is not supported: json"),
        ({"Type": "StringList", "DataType": "aws:ec2:image"}, "ValidationException", "The following data type is not supported"),
        ({"AllowedPattern": r"^\d+$"}, "ParameterPatternMismatchException", r"Parameter value, cannot be validated against allowedPattern: ^\d+$"),
        ({"AllowedPattern": "("}, "InvalidAllowedPatternException", "The request doesn't meet the regular expression requirement: (."),
        ({"Value": "a" * 40 + "b", "AllowedPattern": "(a+)+"}, "InvalidAllowedPatternException", "The request doesn't meet the regular"),
        ({"KeyId": "alias/mine", "Type": "SecureString"}, "InvalidKeyId", "Key alias/mine does not exist"),
        ({"KeyId": "alias/mine"}, "ValidationException", "KeyId is for SecureString only"),
        ({"Policies": '[{"Type": "Expiration"}]'}, "UnsupportedOperationException", "Parameter policies are not implemented"),
        ({"Tags": [{"Key": "a", "Value": "b"}], "Overwrite": True}, "ValidationException", "Invalid request: tags and overwrite can't be used together."),
    ],
)  # fmt: skip
def test_a_value_has_its_rules(ssm: Any, words: dict[str, Any], code: str, text: str) -> None:
    asked = {name: value for name, value in {"Value": "v", "Type": "String", **words}.items() if value is not None}
    seen = refusal(ssm.put_parameter, Name="/value", **asked)
    assert seen[0] == code and seen[1].startswith(text), seen
    assert refusal(ssm.get_parameter, Name="/value")[0] == "ParameterNotFound"


def test_a_parameter_keeps_its_type_and_what_an_overwrite_does_not_say(ssm: Any) -> None:
    put(ssm, "/kept", "12", Description="a number", AllowedPattern=r"\d+")
    code, text, _ = refusal(ssm.put_parameter, Name="/kept", Value="1", Type="SecureString", Overwrite=True)
    assert code == "HierarchyTypeMismatchException" and "changing a parameter type in a hierarchy" in text
    assert ssm.put_parameter(Name="/kept", Value="13", Overwrite=True)["Version"] == 2
    refused = refusal(ssm.put_parameter, Name="/kept", Value="x", Overwrite=True)
    assert refused[0] == "ParameterPatternMismatchException"
    last = ssm.get_parameter_history(Name="/kept")["Parameters"][-1]
    assert (last["Type"], last["Description"], last["AllowedPattern"]) == ("String", "a number", r"\d+")


def test_tiers_go_up_and_never_down(ssm: Any) -> None:
    assert ssm.put_parameter(Name="/tier", Value="x", Type="String", Tier="Intelligent-Tiering")["Tier"] == "Standard"
    big = ssm.put_parameter(Name="/tier", Value="x" * 5000, Tier="Intelligent-Tiering", Overwrite=True)
    assert big["Tier"] == "Advanced"
    assert ssm.put_parameter(Name="/tier", Value="x", Overwrite=True)["Tier"] == "Advanced"
    code, text, _ = refusal(ssm.put_parameter, Name="/tier", Value="x", Tier="Standard", Overwrite=True)
    assert code == "ValidationException" and text.startswith("This parameter uses the advanced-parameter tier.")


def test_a_secure_string_is_opened_only_on_demand(edge: Edge, ssm: Any) -> None:
    put(ssm, "/secret", "hush", Type="SecureString")
    closed = ssm.get_parameter(Name="/secret")["Parameter"]["Value"]
    assert "hush" not in closed and len(closed) > 20
    assert ssm.get_parameter(Name="/secret", WithDecryption=True)["Parameter"]["Value"] == "hush"
    opened = ssm.get_parameters_by_path(
        Path="/", WithDecryption=True, ParameterFilters=[{"Key": "Type", "Values": ["SecureString"]}]
    )
    assert [each["Value"] for each in opened["Parameters"]] == ["hush"]
    (told,) = ssm.describe_parameters(ParameterFilters=[{"Key": "Type", "Values": ["SecureString"]}])["Parameters"]
    assert told["KeyId"] == "alias/aws/ssm"
    ssm.put_parameter(Name="/secret", Value="hushed", Overwrite=True)
    assert refusal(ssm.put_parameter, Name="/secret", Value="hushing", Type="String", Overwrite=True)[0] == (
        "HierarchyTypeMismatchException"
    )
    assert ssm.get_parameter(Name="/secret", WithDecryption=True)["Parameter"]["Value"] == "hushed"
    past = ssm.get_parameter_history(Name="/secret", WithDecryption=True)["Parameters"]
    assert [each["Value"] for each in past] == ["hush", "hushed"]
    kept = b"".join(path.read_bytes() for path in edge.services.data.glob("*.db*"))
    assert b"/secret" in kept and b"hush" not in kept, "the database, the log in it too"


# ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_image_parameter_is_checked_in_the_call(
    edge: Edge, ec2: Any, ssm: Any, stranger: Any, image_id: str
) -> None:
    assert put(ssm, "/image", image_id, DataType="aws:ec2:image") == 1
    assert ssm.get_parameter(Name="/image")["Parameter"]["DataType"] == "aws:ec2:image"
    kept = " is not valid for the data type aws:ec2:image: "
    for value, why in (("ami-12345678", "there is no such image in this region"), ("other", "it is no image id")):
        seen = refusal(ssm.put_parameter, Name="/image", Value=value, Overwrite=True)
        assert seen[:2] == ("ValidationException", value + kept + why + "."), seen
    seen = refusal(stranger.put_parameter, Name="/image", Value=image_id, Type="String", DataType="aws:ec2:image")
    assert seen[:2] == ("ValidationException", f"{image_id}{kept}the account may not launch it.")
    gone = register(ec2, new_snapshot(edge), "gone")
    ec2.deregister_image(ImageId=gone)
    seen = refusal(ssm.put_parameter, Name="/gone", Value=gone, Type="String", DataType="aws:ec2:image")
    assert seen[:2] == ("ValidationException", f"{gone}{kept}the image is not available.")
    assert ssm.get_parameter(Name="/image")["Parameter"]["Version"] == 1


# ── accounts and regions ────────────────────────────────────────────────────────────────────────────────────────────────


def test_parameters_are_their_accounts_own(edge: Edge, ssm: Any, stranger: Any) -> None:
    put(ssm, "/mine", "ours")
    put(stranger, "/mine", "theirs")
    assert ssm.get_parameter(Name="/mine")["Parameter"]["Value"] == "ours"
    assert stranger.get_parameter(Name="/mine")["Parameter"]["Value"] == "theirs"
    arn = f"arn:aws:ssm:us-east-1:{edge.account.account_id}:parameter/mine"
    assert refusal(stranger.get_parameter, Name=arn)[0] == "ParameterNotFound"
    assert refusal(ssm.get_parameter, Name=arn.replace("us-east-1", "eu-west-1"))[0] == "ParameterNotFound"


def test_a_region_knows_nothing_of_another(edge: Edge, ssm: Any, image_id: str) -> None:
    put(ssm, "/regional", "here")
    with closing(edge.client("ssm", region_name="eu-west-1")) as there:
        assert refusal(there.get_parameter, Name="/regional")[0] == "ParameterNotFound"
        seen = refusal(there.put_parameter, Name="/regional", Value=image_id, Type="String", DataType="aws:ec2:image")
        assert seen[0] == "ValidationException" and "there is no such image in this region" in seen[1]
        put(there, "/regional", "there")
        assert there.get_parameter(Name="/regional")["Parameter"]["ARN"].startswith("arn:aws:ssm:eu-west-1:")
    assert ssm.get_parameter(Name="/regional")["Parameter"]["Value"] == "here"


def test_the_administrator_publishes_and_everybody_reads(ssm: Any, stranger: Any, administrator: Any) -> None:
    name = "/aws/service/house/latest"
    put(administrator, name, "v1")
    seen = stranger.get_parameter(Name=name)["Parameter"]
    assert (seen["Value"], seen["ARN"]) == ("v1", "arn:aws:ssm:us-east-1::parameter/aws/service/house/latest")
    assert stranger.get_parameter(Name=seen["ARN"])["Parameter"]["Value"] == "v1"
    assert [each["Name"] for each in ssm.get_parameters_by_path(Path="/aws/service/house")["Parameters"]] == [name]
    assert name not in [each["Name"] for each in ssm.describe_parameters()["Parameters"]]
    assert refusal(stranger.put_parameter, Name=name, Value="x", Overwrite=True)[0] == "AccessDeniedException"
    assert refusal(stranger.delete_parameter, Name=name)[0] == "ParameterNotFound"
    assert refusal(administrator.put_parameter, Name="/aws/x", Value="x", Type="String")[0] == "AccessDeniedException"
    administrator.delete_parameter(Name=name)
    assert refusal(stranger.get_parameter, Name=name)[0] == "ParameterNotFound"


@pytest.mark.proves("ssm", "PutParameter")
def test_overwrites_at_one_time_are_all_made_one_after_the_other(ssm: Any) -> None:
    put(ssm, "/busy", "0")

    def overwrite(number: int) -> int:
        return int(ssm.put_parameter(Name="/busy", Value=str(number), Overwrite=True)["Version"])

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(overwrite, range(1, 25)))
    assert sorted(made) == list(range(2, 26))
    newest = ssm.get_parameter(Name="/busy")["Parameter"]
    assert (newest["Version"], newest["Value"]) == (25, str(made.index(25) + 1))


# ── lists ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def names(answer: dict[str, Any]) -> list[str]:
    return [each["Name"] for each in answer["Parameters"]]


@pytest.mark.proves("ssm", "GetParametersByPath")
def test_a_hierarchy_is_walked_level_by_level_or_whole(stranger: Any) -> None:
    for name in ("/walk/b", "/walk/a", "/walk/sub/c", "/walk/sub/deep/d", "/walkers/x", "/walk"):
        put(stranger, name, name[-1])
    assert names(stranger.get_parameters_by_path(Path="/walk")) == ["/walk/a", "/walk/b"]
    assert names(stranger.get_parameters_by_path(Path="/walk/")) == ["/walk/a", "/walk/b"]
    whole = ["/walk/a", "/walk/b", "/walk/sub/c", "/walk/sub/deep/d"]
    assert names(stranger.get_parameters_by_path(Path="/walk", Recursive=True)) == whole
    pages = list(
        stranger.get_paginator("get_parameters_by_path").paginate(
            Path="/walk", Recursive=True, PaginationConfig={"PageSize": 3}
        )
    )
    assert [len(page["Parameters"]) for page in pages] == [3, 1]
    assert [name for page in pages for name in names(page)] == whole
    assert names(stranger.get_parameters_by_path(Path="/nowhere")) == []
    put(stranger, "bare", "word")  # getmoto/moto#1700
    assert names(stranger.get_parameters_by_path(Path="/"))[-2:] == ["/walk", "bare"]
    assert names(stranger.get_parameters_by_path(Path="/", Recursive=True))[-1] == "bare"
    root = [{"Key": "Path", "Option": "OneLevel", "Values": ["/"]}]
    assert names(stranger.describe_parameters(ParameterFilters=root))[-2:] == ["/walk", "bare"]
    stranger.delete_parameter(Name="bare")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ({"Path": "walk"}, "ValidationException", "The parameter doesn't meet the parameter name requirements. The parameter name"),
        ({"Path": "/w//x"}, "ValidationException", "The parameter doesn't meet the parameter name requirements."),
        ({"Path": "/w" * 16}, "HierarchyLevelLimitExceededException", "A hierarchy can have a maximum of 15 levels."),
        ({"MaxResults": 11}, "ValidationException", "1 validation error detected: Value (11) for parameter MaxResults is invalid."),
        ({"MaxResults": 0}, "ValidationException", "1 validation error detected: Value (0) for parameter MaxResults is invalid."),
        ({"NextToken": "nonsense"}, "InvalidNextToken", "The NextToken value is not valid."),
        ({"ParameterFilters": [{"Key": "Name", "Values": ["a"]}]}, "InvalidFilterKey", "The following filter key is not valid: Name. Valid filter keys include: [Type, KeyId, Label]."),
        ({"ParameterFilters": [{"Key": "tag:a", "Values": ["a"]}]}, "InvalidFilterKey", "The following filter key is not valid: tag:a."),
        ({"ParameterFilters": [{"Key": "Type", "Option": "BeginsWith", "Values": ["String"]}]}, "InvalidFilterOption", "The following filter option is not valid: BeginsWith. Valid options include: [Equals]."),
        ({"ParameterFilters": [{"Key": "Type", "Values": ["Text"]}]}, "InvalidFilterValue", "The following filter value is not valid: Text. Valid values include: [SecureString, String, StringList]."),
        ({"ParameterFilters": [{"Key": "Type"}]}, "InvalidFilterValue", "The following filter values are missing : null for filter key Type."),
        ({"ParameterFilters": [{"Key": "Color", "Values": ["red"]}]}, "ValidationException", "1 validation error detected: Value (Color) for parameter ParameterFilters.1.Key"),
        ({"ParameterFilters": [{"Key": "Type", "Values": ["String"]}] * 2}, "InvalidFilterKey", "The following filter is duplicated in the request: Type."),
    ],
)  # fmt: skip
def test_a_walk_has_its_rules(edge: Edge, words: dict[str, Any], code: str, text: str) -> None:
    unchecked = Config(parameter_validation=False, retries={"max_attempts": 0})
    with closing(edge.client("ssm", config=unchecked)) as ssm:
        seen = refusal(ssm.get_parameters_by_path, **{"Path": "/walk", **words})
    assert seen[0] == code and seen[1].startswith(text), seen


@pytest.mark.proves("ssm", "DescribeParameters")
def test_parameters_are_described_by_filters(edge: Edge) -> None:
    with closing(client_of(edge, "ssm", "describer")) as ssm:
        put(ssm, "/app/web/port", "80", Tags=[{"Key": "team", "Value": "web"}], Description="the port")
        put(ssm, "/app/db/hosts", "a,b", Type="StringList", Tags=[{"Key": "team", "Value": "db"}])
        put(ssm, "/app", "x", Tier="Advanced")
        put(ssm, "plain", "x", Type="SecureString")

        def found(*filters: tuple[str, str | None, list[str]], **words: Any) -> list[str]:
            asked = [{"Key": k, **({"Option": o} if o else {}), **({"Values": v} if v else {})} for k, o, v in filters]
            return names(ssm.describe_parameters(ParameterFilters=asked, **words))

        everything = ["/app", "/app/db/hosts", "/app/web/port", "plain"]
        assert found() == everything
        assert found(("Name", None, ["/app", "plain"])) == ["/app", "plain"]
        assert found(("Name", "BeginsWith", ["/app/"])) == ["/app/db/hosts", "/app/web/port"]
        assert found(("Name", "Contains", ["o"])) == ["/app/db/hosts", "/app/web/port"]
        assert found(("Path", None, ["/app/db"])) == ["/app/db/hosts"]
        assert found(("Path", "OneLevel", ["/app"])) == []
        assert found(("Path", "Recursive", ["/app"])) == ["/app/db/hosts", "/app/web/port"]
        assert found(("Type", None, ["StringList"]), ("Path", "Recursive", ["/app"])) == ["/app/db/hosts"]
        assert found(("KeyId", "BeginsWith", ["alias/"])) == ["plain"]
        assert found(("Tier", None, ["Advanced"])) == ["/app"]
        assert found(("DataType", None, ["text"])) == everything
        assert found(("tag:team", None, ["web"])) == ["/app/web/port"]
        assert found(("tag:team", None, [])) == ["/app/db/hosts", "/app/web/port"]
        assert found(("Label", None, ["blue"])) == []
        assert found(Shared=True) == []
        old = ssm.describe_parameters(Filters=[{"Key": "Name", "Values": ["/app/w"]}])["Parameters"]
        assert [each["Name"] for each in old] == ["/app/web/port"]
        (told,) = old
        assert (told["Type"], told["Version"], told["Description"]) == ("String", 1, "the port")
        assert told["LastModifiedUser"] == f"arn:aws:iam::{ssm.account_id}:root"
        assert told["ARN"].endswith(f":{ssm.account_id}:parameter/app/web/port") and "Value" not in told
        pages = list(ssm.get_paginator("describe_parameters").paginate(PaginationConfig={"PageSize": 3}))
        assert [each["Name"] for page in pages for each in page["Parameters"]] == everything and len(pages) == 2
        twice = {
            "Filters": [{"Key": "Type", "Values": ["String"]}],
            "ParameterFilters": [{"Key": "Name", "Values": ["a"]}],
        }
        seen = refusal(ssm.describe_parameters, **twice)
        assert seen[:2] == (
            "ValidationException",
            "You can use either Filters or ParameterFilters in a single request.",
        )
        seen = refusal(ssm.describe_parameters, MaxResults=51)
        assert seen[0] == "ValidationException" and "Member must have value less than or equal to 50" in seen[1]


@pytest.mark.proves("ssm", "AddTagsToResource", "RemoveTagsFromResource", "ListTagsForResource")
def test_a_parameter_is_tagged_by_its_account(ssm: Any, stranger: Any) -> None:
    put(ssm, "/tagged", Tags=[{"Key": "a", "Value": "1"}])
    it = {"ResourceType": "Parameter", "ResourceId": "/tagged"}
    ssm.add_tags_to_resource(**it, Tags=[{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "3"}])
    tags = [{"Key": "a", "Value": "3"}, {"Key": "b", "Value": "2"}]
    assert ssm.list_tags_for_resource(**it)["TagList"] == tags
    ssm.remove_tags_from_resource(**it, TagKeys=["a", "none"])
    put(ssm, "/tagged", "2", Overwrite=True)
    assert ssm.list_tags_for_resource(**it)["TagList"] == tags[1:]
    code, text, _ = refusal(stranger.list_tags_for_resource, **it)
    assert code == "InvalidResourceId" and text.startswith("The resource ID /tagged isn't valid.")
    document = {"ResourceType": "Document", "ResourceId": "/tagged"}
    assert refusal(ssm.list_tags_for_resource, **document)[0] == "InvalidResourceType"
    many = [{"Key": f"key {number}", "Value": "x"} for number in range(50)]
    assert refusal(ssm.add_tags_to_resource, **it, Tags=many)[:2] == (
        "TooManyTagsError",
        "A parameter may have 50 tags.",
    )
    twice = [{"Key": "c", "Value": "1"}] * 2
    assert refusal(ssm.add_tags_to_resource, **it, Tags=twice)[0] == "ValidationException"
    assert refusal(ssm.add_tags_to_resource, **it, Tags=[{"Key": "aws:x", "Value": "1"}])[0] == "ValidationException"
    keys = [f"key {number}" for number in range(1001)]
    assert refusal(ssm.remove_tags_from_resource, **it, TagKeys=keys)[0] == "ValidationException"
    assert ssm.list_tags_for_resource(**it)["TagList"] == tags[1:]
    ssm.delete_parameter(Name="/tagged")
    put(ssm, "/tagged")
    assert ssm.list_tags_for_resource(**it)["TagList"] == []


@pytest.mark.proves("ssm", "GetParameterHistory")
def test_the_newest_hundred_versions_are_kept(ssm: Any) -> None:
    for number in range(1, 104):
        put(ssm, "/long", str(number), Overwrite=True)
    pages = list(ssm.get_paginator("get_parameter_history").paginate(Name="/long"))
    assert [len(page["Parameters"]) for page in pages] == [50, 50]
    versions = [(each["Version"], each["Value"]) for page in pages for each in page["Parameters"]]
    assert versions == [(number, str(number)) for number in range(4, 104)]
    assert refusal(ssm.get_parameter, Name="/long:3")[0] == "ParameterVersionNotFound"
    assert ssm.get_parameter(Name="/long:4")["Parameter"]["Value"] == "4"


# ── the protocol ────────────────────────────────────────────────────────────────────────────────────────────────────────


def send(edge: Edge, target: str, body: bytes, **how: str) -> tuple[int, str]:
    """Status and body of a signed request with this target."""
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
    answer = edge.send("POST", "/", body, edge.sign("POST", "/", body, headers, **{"service": "ssm", **how}))
    assert answer.headers["content-type"] == "application/x-amz-json-1.1" and answer.headers["x-amzn-requestid"]
    return answer.status, answer.text


def test_the_protocol_refuses_in_its_own_words(edge: Edge, ssm: Any) -> None:
    assert send(edge, "AmazonSSM.MakeCoffee", b"{}") == (
        400,
        '{"__type":"UnknownOperationException","message":"The action AmazonSSM.MakeCoffee is not valid for this web service."}',
    )
    assert "UnknownOperationException" in send(edge, "", b"{}")[1]
    seen = refusal(ssm.send_command, DocumentName="AWS-RunShellScript")
    assert seen == ("UnsupportedOperationException", "The action SendCommand is not implemented by Amiable.", 400)
    assert "SerializationException" in send(edge, "AmazonSSM.GetParameter", b"[1]")[1]
    assert send(edge, "AmazonSSM.GetParameter", b'{"Name": "/a", "Color": 1}') == (
        400,
        '{"__type":"ValidationException","message":"1 validation error detected: The parameter Color is not recognized"}',
    )
    assert "must contain the parameter Name" in send(edge, "AmazonSSM.GetParameter", b"{}")[1]
    assert "InvalidSignatureException" in send(edge, "AmazonSSM.GetParameter", b"{}", secret="wrong" * 8)[1]
    unsigned = edge.send("POST", "/", b"{}", {"x-amz-target": "AmazonSSM.GetParameter"})
    assert (unsigned.status, "MissingAuthenticationTokenException" in unsigned.text) == (400, True)
