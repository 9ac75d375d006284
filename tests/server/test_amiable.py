"""Amiable's own API over a real port."""

import gzip
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.server import Server

KERNEL = bytes(0x202) + b"HdrS" + os.urandom(1000)


@dataclass
class Api:
    server: Server
    account_id: str | None = None
    key: dict[str, Any] | None = None
    """What signs, where not the account's first key."""

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        found = self.key or self.server.credentials(self.account_id)
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"{self.server.endpoint}/amiable/v1/{path}"
        request = AWSRequest(method, url, data=data)
        SigV4Auth(Credentials(found["AccessKeyId"], found["SecretAccessKey"]), "amiable", "us-east-1").add_auth(request)
        sent = urllib.request.Request(url, data or None, dict(request.headers.items()), method=method)
        try:
            with urllib.request.urlopen(sent) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


@pytest.fixture(scope="module")
def administrator(server: Server) -> Api:
    return Api(server)


@pytest.fixture(scope="module")
def other(server: Server, administrator: Api) -> Api:
    status, made = administrator("POST", "accounts", {"Name": "other"})
    assert status == 200
    return Api(server, made["AccountId"])


@pytest.fixture(scope="module")
def bucket(server: Server) -> str:
    server.client("s3").create_bucket(Bucket="kernels")
    return "kernels"


def test_an_account_that_is_made_can_speak(server: Server, administrator: Api) -> None:
    status, made = administrator("POST", "accounts", {"Name": "new"})
    assert status == 200
    assert made["Certificate"].startswith("-----BEGIN CERTIFICATE-----")
    assert made["PrivateKey"].startswith("-----BEGIN PRIVATE KEY-----")
    assert server.client("sts", made["AccountId"]).get_caller_identity()["Account"] == made["AccountId"]
    listed = administrator("GET", "accounts")[1]["Accounts"]
    assert {(one["AccountId"], one["Name"], one["IsAdministrator"]) for one in listed} >= {
        (made["AccountId"], "new", False)
    }
    assert "SecretAccessKey" not in json.dumps(listed)


def test_accounts_and_kernels_are_made_by_the_administrator_alone(other: Api) -> None:
    kernel = {"Name": "abc", "Type": "kernel", "Bucket": "b", "Key": "k"}
    for method, path, body in (
        ("GET", "accounts", None),
        ("POST", "accounts", {"Name": "x"}),
        ("POST", "kernels", kernel),
    ):
        status, refusal = other(method, path, body)
        assert (status, refusal["Code"]) == (403, "UnauthorizedOperation")


def test_partners_and_approvals_are_the_administrators(administrator: Api, other: Api) -> None:
    for path, body in (
        (f"accounts/{other.account_id}/partner", {"Partner": True}),
        ("kernels/aki-0123456789abcdef0/approval", {"Approved": True}),
    ):
        assert other("PUT", path, body)[1]["Code"] == "UnauthorizedOperation"
        assert administrator("PUT", path, {"Other": 1})[1]["Code"] == "InvalidParameterValue"
        assert administrator("GET", path)[1]["Code"] == "InvalidAction"
    path = f"accounts/{other.account_id}/partner"
    assert administrator("PUT", path, {"Partner": True})[1]["IsPartner"] is True
    assert administrator("PUT", path, {"Partner": False})[1]["IsPartner"] is False
    missing = administrator("PUT", "kernels/aki-0123456789abcdef0/approval", {"Approved": True})
    assert missing[1]["Code"] == "InvalidAMIID.NotFound"


def test_an_access_key_lives_from_its_making_to_its_deletion(server: Server, other: Api) -> None:
    status, made = other("POST", "access-keys")
    assert status == 200
    own = server.credentials(other.account_id)["AccessKeyId"]
    keys = other("GET", "access-keys")[1]["AccessKeys"]
    assert [(key["AccessKeyId"], key["State"]) for key in keys] == [(own, "active"), (made["AccessKeyId"], "active")]
    assert other("DELETE", f"access-keys/{made['AccessKeyId']}") == (200, {})
    assert other("DELETE", f"access-keys/{made['AccessKeyId']}")[1]["Code"] == "InvalidID"
    assert other("DELETE", f"access-keys/{own}")[1]["Code"] == "InvalidParameterValue"


def test_an_access_key_that_is_off_signs_nothing_until_it_is_on_again(server: Server, other: Api) -> None:
    made = other("POST", "access-keys")[1]
    by_it = Api(server, other.account_id, made)
    path = f"access-keys/{made['AccessKeyId']}/state"
    assert other("PUT", path, {"Active": False})[1]["State"] == "inactive"
    assert by_it("GET", "access-keys")[1]["Code"] == "AuthFailure"
    status, row = other("PUT", path, {"Active": True})
    assert (status, row["State"], sorted(row)) == (200, "active", ["AccessKeyId", "CreatedAt", "State"])
    assert by_it("GET", "access-keys")[0] == 200
    own = server.credentials(other.account_id)["AccessKeyId"]
    assert other("PUT", f"access-keys/{own}/state", {"Active": False})[1]["Code"] == "InvalidParameterValue"
    assert other("PUT", path, {"Active": "no"})[1]["Code"] == "InvalidParameterValue"
    assert other("DELETE", f"access-keys/{made['AccessKeyId']}") == (200, {})
    assert other("PUT", path, {"Active": True})[1]["Code"] == "InvalidID"


def test_the_key_of_another_account_cannot_be_touched(server: Server, other: Api) -> None:
    theirs = server.credentials()["AccessKeyId"]
    assert other("DELETE", f"access-keys/{theirs}")[0] == 400
    assert other("PUT", f"access-keys/{theirs}/state", {"Active": False})[0] == 400
    assert server.client("sts").get_caller_identity()["Account"] == server.credentials()["AccountId"]


def test_a_kernel_is_registered_for_all(server: Server, administrator: Api, other: Api, bucket: str) -> None:
    server.client("s3").put_object(Bucket=bucket, Key="vmlinuz", Body=KERNEL)
    wanted = {
        "Name": "linux",
        "Type": "kernel",
        "Architecture": "x86_64",
        "Description": "d",
        "Bucket": bucket,
        "Key": "vmlinuz",
    }
    status, made = administrator("POST", "kernels", wanted)
    assert status == 200 and made["ImageId"].startswith("aki-")
    assert (server.data / "kernels" / made["ImageId"]).read_bytes() == KERNEL
    server.client("s3").delete_object(Bucket=bucket, Key="vmlinuz")
    assert (server.data / "kernels" / made["ImageId"]).read_bytes() == KERNEL
    assert made["ImageId"] in [kernel["ImageId"] for kernel in other("GET", "kernels")[1]["Kernels"]]
    seen = server.client("ec2", other.account_id).describe_images(ImageIds=[made["ImageId"]])["Images"][0]
    assert (seen["ImageType"], seen["Public"], seen["Name"], seen["State"]) == ("kernel", True, "linux", "available")
    server.client("s3").put_object(Bucket=bucket, Key="vmlinuz", Body=KERNEL)
    before = set((server.data / "kernels").iterdir())
    assert administrator("POST", "kernels", wanted)[1]["Code"] == "InvalidAMIName.Duplicate"
    assert set((server.data / "kernels").iterdir()) == before


@pytest.mark.parametrize(
    ("kind", "body", "seen"),
    [
        ("kernel", b"QFI\xfb" + bytes(1000), "a qcow2 disk"),
        ("kernel", b"070701" + bytes(1000), "a cpio archive"),
        ("kernel", b"", "an empty file"),
        ("ramdisk", KERNEL, "a Linux kernel (bzImage)"),
        ("ramdisk", b"hello\n", "text"),
    ],
    ids=["qcow2", "cpio", "empty", "bzimage", "text"],
)
def test_what_is_no_kernel_is_refused_by_name(
    server: Server, administrator: Api, bucket: str, kind: str, body: bytes, seen: str
) -> None:
    server.client("s3").put_object(Bucket=bucket, Key="wrong", Body=body)
    before = set((server.data / "kernels").iterdir())
    status, refusal = administrator(
        "POST", "kernels", {"Name": "wrong", "Type": kind, "Bucket": bucket, "Key": "wrong"}
    )
    assert (status, refusal["Code"]) == (400, "InvalidParameterValue") and seen in refusal["Message"]
    assert set((server.data / "kernels").iterdir()) == before


def test_a_ramdisk_is_registered(server: Server, administrator: Api, bucket: str) -> None:
    server.client("s3").put_object(Bucket=bucket, Key="initrd", Body=gzip.compress(b"070701"))
    made = administrator("POST", "kernels", {"Name": "initrd", "Type": "ramdisk", "Bucket": bucket, "Key": "initrd"})[1]
    assert made["ImageId"].startswith("ari-")


def test_a_kernel_from_nowhere_is_refused(administrator: Api, bucket: str) -> None:
    wanted = {"Name": "absent", "Type": "kernel", "Bucket": bucket, "Key": "absent"}
    assert administrator("POST", "kernels", wanted)[1]["Code"] == "NoSuchKey"
    assert administrator("POST", "kernels", wanted | {"Type": "disk"})[1]["Code"] == "InvalidParameterValue"
    assert administrator("POST", "kernels", wanted | {"Name": "a"})[1]["Code"] == "InvalidAMIName.Malformed"
    assert administrator("POST", "kernels", wanted | {"Architecture": "sparc"})[1]["Code"] == "InvalidParameterValue"


def test_the_bundling_certificate_is_the_installations(server: Server, other: Api) -> None:
    pem = (server.data / "installation" / "bundling.pem").read_text()
    assert other("GET", "bundling-certificate") == (200, {"Certificate": pem})


def test_the_host_tells_its_facts(server: Server, administrator: Api) -> None:
    status, facts = administrator("GET", "host")
    assert status == 200
    assert facts["Data"] == str(server.data.resolve()) and facts["FreeBytes"] > 0 and facts["Version"]
    assert facts["Accelerator"] == "tcg" and facts["ReclaimableBytes"] == 0 and facts["StoredBytes"] >= 0
    assert isinstance(facts["Jobs"], dict)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"{}", b'{"Name": 1}', b'{"Name": "x", "Other": 1}', b'{"Name": "\xff"}'], ids=repr
)
def test_a_body_that_does_not_fit_is_refused(administrator: Api, body: bytes) -> None:
    status, refusal = administrator("POST", "accounts", body)
    assert (status, refusal["Code"]) == (400, "InvalidParameterValue")


@pytest.mark.parametrize("path", ["nothing", "", "accounts/x/y/z", "host/x"])
def test_another_path_is_no_call(administrator: Api, path: str) -> None:
    assert administrator("GET", path)[1]["Code"] == "InvalidAction"


def test_the_hardware_of_no_instance_is_refused(administrator: Api) -> None:
    assert administrator("GET", "instances/i-0123456789abcdef0/hardware")[1]["Code"] == "InvalidInstanceID.NotFound"
    assert administrator("GET", "instances/other/hardware")[1]["Code"] == "InvalidInstanceID.Malformed"


def test_host_keys_of_no_instance_are_refused(administrator: Api) -> None:
    assert (
        administrator("GET", "instances/i-0123456789abcdef0/ssh-host-keys")[1]["Code"] == "InvalidInstanceID.NotFound"
    )
    assert administrator("GET", "instances/other/ssh-host-keys")[1]["Code"] == "InvalidInstanceID.Malformed"
