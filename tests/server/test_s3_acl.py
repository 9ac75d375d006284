"""Access control lists through boto3: canned names, grants in headers, documents; what cannot be kept is refused."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amiable.rules.acl import ALL_USERS, AUTHENTICATED_USERS, GRANTS, SERVICE, ZA_TEAM_ID, canonical_id
from amiable.services.objects import readable
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services

ZA_TEAM = {"Type": "CanonicalUser", "ID": ZA_TEAM_ID}
EVERYONE = {"Type": "Group", "URI": ALL_USERS}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with open_services(tmp_path_factory.mktemp("edge") / "data") as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            running.client("s3").create_bucket(Bucket="acls")
            yield running


@pytest.fixture
def s3(edge: Edge) -> Any:
    client = edge.client("s3")
    client.put_object(Bucket="acls", Key="k", Body=b"1")
    return client


def shown(s3: Any, key: str = "k") -> list[tuple[str, str]]:
    """Whom GET ?acl names beside the owner, and what for."""
    grants = s3.get_object_acl(Bucket="acls", Key=key)["Grants"]
    assert grants[0]["Permission"] == "FULL_CONTROL"
    return [(one["Grantee"].get("ID") or one["Grantee"]["URI"], one["Permission"]) for one in grants[1:]]


def document(edge: Edge, *grants: tuple[dict[str, str], str], owner: str = "") -> dict[str, Any]:
    mine = canonical_id(edge.account.account_id)
    own = ({"Type": "CanonicalUser", "ID": mine}, "FULL_CONTROL")
    return {
        "Owner": {"ID": owner or mine},
        "Grants": [{"Grantee": who, "Permission": permission} for who, permission in (own, *grants)],
    }


def code_of(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.parametrize("canned", GRANTS)
@pytest.mark.proves("s3", "GetObjectAcl", "PutObjectAcl")
def test_a_canned_acl_is_shown_and_may_be_put_back_as_a_document(edge: Edge, s3: Any, canned: str) -> None:
    s3.put_object_acl(Bucket="acls", Key="k", ACL=canned)
    before = s3.get_object_acl(Bucket="acls", Key="k")
    s3.put_object_acl(Bucket="acls", Key="k", ACL="private")
    s3.put_object_acl(
        Bucket="acls", Key="k", AccessControlPolicy={"Owner": before["Owner"], "Grants": before["Grants"]}
    )
    after = s3.get_object_acl(Bucket="acls", Key="k")
    # the bucket's owner is the object's here, so what is granted to him he has
    assert after["Grants"] == (before["Grants"] if not canned.startswith("bucket-owner") else before["Grants"][:1])


@pytest.mark.parametrize(
    "grantee",
    [
        ZA_TEAM,
        {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/s3/zateam"},
        {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/s3/ec2-bundle"},
    ],
)
def test_za_team_in_each_spelling_is_the_image_service(edge: Edge, s3: Any, grantee: dict[str, str]) -> None:
    s3.put_object_acl(Bucket="acls", Key="k", AccessControlPolicy=document(edge, (grantee, "READ")))
    assert shown(s3) == [(ZA_TEAM_ID, "READ")]
    with edge.services.database.read() as c:
        assert readable(c, SERVICE, "acls", "k")[1].acl == "aws-exec-read"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"GrantRead": f'id="{ZA_TEAM_ID}"'}, [(ZA_TEAM_ID, "READ")]),
        ({"GrantRead": f"uri={ALL_USERS}"}, [(ALL_USERS, "READ")]),
        ({"GrantRead": f'uri="{AUTHENTICATED_USERS}"'}, [(AUTHENTICATED_USERS, "READ")]),
        (
            {"GrantFullControl": "id=OWNER", "GrantRead": f'id="OWNER", id="{ZA_TEAM_ID}"'},
            [(ZA_TEAM_ID, "READ")],
        ),
    ],
)
def test_grants_in_headers_are_kept_on_put_copy_and_upload(
    edge: Edge, s3: Any, headers: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    mine = canonical_id(edge.account.account_id)
    headers = {name: value.replace("OWNER", mine) for name, value in headers.items()}
    s3.put_object(Bucket="acls", Key="put", Body=b"1", **headers)
    s3.copy_object(Bucket="acls", Key="copied", CopySource="acls/k", **headers)
    upload = s3.create_multipart_upload(Bucket="acls", Key="uploaded", **headers)["UploadId"]
    part = s3.upload_part(Bucket="acls", Key="uploaded", UploadId=upload, PartNumber=1, Body=b"1")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket="acls", Key="uploaded", UploadId=upload, MultipartUpload=parts)
    s3.put_object_acl(Bucket="acls", Key="k", **headers)
    for key in ("put", "copied", "uploaded", "k"):
        assert shown(s3, key) == expected


@pytest.mark.proves("s3", "PutBucketAcl", "GetBucketAcl")
def test_the_buckets_owner_is_named_by_his_canonical_id(edge: Edge, s3: Any) -> None:
    other, _ = make_account(edge.services, "guest")
    s3.put_bucket_acl(Bucket="acls", ACL="public-read-write")
    guest = Edge(edge.services, edge.port, other).client("s3")
    owner = canonical_id(edge.account.account_id)
    guest.put_object(Bucket="acls", Key="guests", Body=b"1", GrantFullControl=f"id={owner}")
    assert shown(s3, "guests") == [(owner, "FULL_CONTROL")]
    s3.put_bucket_acl(Bucket="acls", AccessControlPolicy=document(edge))
    assert s3.get_bucket_acl(Bucket="acls")["Grants"][1:] == []
    assert code_of(guest.put_object, Bucket="acls", Key="more", Body=b"1") == "AccessDenied"


@pytest.mark.parametrize(
    ("grants", "code"),
    [
        ([(EVERYONE, "READ"), (ZA_TEAM, "READ")], "NotImplemented"),
        ([(EVERYONE, "READ_ACP")], "NotImplemented"),
        ([({"Type": "CanonicalUser", "ID": "0" * 64}, "READ")], "NotImplemented"),
        (
            [({"Type": "AmazonCustomerByEmail", "EmailAddress": "a@example.org"}, "READ")],
            "UnresolvableGrantByEmailAddress",
        ),
        ([({"Type": "Group", "URI": "http://acs.amazonaws.com/groups/s3/LogDelivery"}, "WRITE")], "InvalidArgument"),
    ],
)
def test_grants_that_cannot_be_kept_are_refused_and_change_nothing(
    edge: Edge, s3: Any, grants: list[tuple[dict[str, str], str]], code: str
) -> None:
    s3.put_object_acl(Bucket="acls", Key="k", ACL="aws-exec-read")
    policy = document(edge, *grants)
    assert code_of(s3.put_object_acl, Bucket="acls", Key="k", AccessControlPolicy=policy) == code
    assert shown(s3) == [(ZA_TEAM_ID, "READ")]


def test_an_owner_cannot_be_put_in_and_one_way_of_asking_is_enough(edge: Edge, s3: Any) -> None:
    policy = document(edge, owner="0" * 64)
    assert code_of(s3.put_object_acl, Bucket="acls", Key="k", AccessControlPolicy=policy) == "AccessDenied"
    assert code_of(s3.put_object_acl, Bucket="acls", Key="k") == "MissingSecurityHeader"
    both = {"ACL": "private", "GrantRead": f"uri={ALL_USERS}"}
    assert code_of(s3.put_object_acl, Bucket="acls", Key="k", **both) == "InvalidRequest"
    assert code_of(s3.put_object, Bucket="acls", Key="n", Body=b"", GrantRead="everybody") == "InvalidArgument"
    assert code_of(s3.put_object, Bucket="acls", Key="n", Body=b"", GrantRead='id="a" id="b"') == "InvalidArgument"
    assert code_of(s3.put_object, Bucket="acls", Key="n", Body=b"", ACL="world") == "InvalidArgument"


def test_a_bucket_may_be_made_with_grants(edge: Edge, s3: Any) -> None:
    s3.create_bucket(Bucket="granted", GrantRead=f'uri="{ALL_USERS}"', GrantWrite=f'uri="{ALL_USERS}"')
    grants = s3.get_bucket_acl(Bucket="granted")["Grants"][1:]
    assert [one["Permission"] for one in grants] == ["READ", "WRITE"]
