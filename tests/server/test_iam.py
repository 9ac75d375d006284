"""Signing certificates through boto3 and aws-cli, and the public certificate that bundle keys are wrapped for."""

import base64
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from amiable.api.iam import CERTIFICATES_MAX
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services

RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with open_services(tmp_path / "data") as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            yield running


def certificate(key: Any = RSA, *, ended: bool = False) -> str:
    """A self-signed certificate, another at each call."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "someone")])
    end = datetime.now(UTC) + timedelta(days=-1 if ended else 30)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(end - timedelta(days=60))
    signed = builder.not_valid_after(end).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def code_of(call: Any, **parameters: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.proves(
    "iam", "UploadSigningCertificate", "ListSigningCertificates", "UpdateSigningCertificate", "DeleteSigningCertificate"
)
def test_a_certificate_is_enrolled_switched_and_forgotten(edge: Edge) -> None:
    iam = edge.client("iam")
    (born,) = iam.list_signing_certificates()["Certificates"]
    assert born["CertificateBody"] == edge.account.certificate_pem and born["Status"] == "Active"
    pem = certificate()
    made = iam.upload_signing_certificate(CertificateBody=f"  Bag Attributes\n{pem}\n")["Certificate"]
    assert (made["UserName"], made["Status"], made["CertificateBody"]) == ("root", "Active", pem)
    assert abs(made["UploadDate"] - datetime.now(UTC)) < timedelta(minutes=1)
    iam.update_signing_certificate(CertificateId=made["CertificateId"], Status="Inactive", UserName="root")
    listed = iam.list_signing_certificates(UserName="root")["Certificates"]
    assert [(one["CertificateId"], one["Status"]) for one in listed] == [
        (born["CertificateId"], "Active"),
        (made["CertificateId"], "Inactive"),
    ]
    iam.update_signing_certificate(CertificateId=made["CertificateId"], Status="Active")
    iam.delete_signing_certificate(CertificateId=born["CertificateId"])
    assert [one["CertificateId"] for one in iam.list_signing_certificates()["Certificates"]] == [made["CertificateId"]]


def test_pages_are_followed_by_their_marker(edge: Edge) -> None:
    iam = edge.client("iam")
    for _ in range(4):
        iam.upload_signing_certificate(CertificateBody=certificate())
    whole = [one["CertificateId"] for one in iam.list_signing_certificates()["Certificates"]]
    pages = list(iam.get_paginator("list_signing_certificates").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["Certificates"]) for page in pages] == [2, 2, 1]
    assert [one["CertificateId"] for page in pages for one in page["Certificates"]] == whole
    first = iam.list_signing_certificates(MaxItems=2)
    iam.delete_signing_certificate(CertificateId=whole[1])  # what the marker names
    after = iam.list_signing_certificates(Marker=first["Marker"])["Certificates"]
    assert [one["CertificateId"] for one in after] == whole[2:]
    assert code_of(iam.list_signing_certificates, Marker="made up") == ("InvalidInput", 400)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("no certificate", "MalformedCertificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "MalformedCertificate"),
        (certificate() + certificate(), "MalformedCertificate"),
        (certificate().replace("CERTIFICATE", "PRIVATE KEY"), "MalformedCertificate"),
        (certificate(ec.generate_private_key(ec.SECP256R1())), "InvalidCertificate"),
    ],
    ids=["nothing", "garbage", "two", "private key", "not RSA"],
)
def test_what_is_no_certificate_of_an_rsa_key_is_refused(edge: Edge, body: str, code: str) -> None:
    assert code_of(edge.client("iam").upload_signing_certificate, CertificateBody=body) == (code, 400)


def test_an_ended_certificate_is_taken_and_the_same_one_only_once_an_account(edge: Edge) -> None:
    iam, pem = edge.client("iam"), certificate(ended=True)
    iam.upload_signing_certificate(CertificateBody=pem)
    assert code_of(iam.upload_signing_certificate, CertificateBody=pem) == ("DuplicateCertificate", 409)
    other, _ = make_account(edge.services, "other")
    theirs = replace(edge, account=other).client("iam")
    theirs.upload_signing_certificate(CertificateBody=pem)
    assert len(theirs.list_signing_certificates()["Certificates"]) == 2


def test_an_account_has_so_many_and_touches_no_other_accounts(edge: Edge) -> None:
    iam = edge.client("iam")
    for _ in range(CERTIFICATES_MAX - 1):
        iam.upload_signing_certificate(CertificateBody=certificate())
    assert code_of(iam.upload_signing_certificate, CertificateBody=certificate()) == ("LimitExceeded", 409)
    mine = iam.list_signing_certificates()["Certificates"][0]["CertificateId"]
    other, _ = make_account(edge.services, "other")
    theirs = replace(edge, account=other).client("iam")
    assert code_of(theirs.delete_signing_certificate, CertificateId=mine) == ("NoSuchEntity", 404)
    assert code_of(theirs.update_signing_certificate, CertificateId=mine, Status="Inactive") == ("NoSuchEntity", 404)


def test_names_states_and_ids_that_are_none_are_refused(edge: Edge) -> None:
    iam = edge.client("iam")
    mine = iam.list_signing_certificates()["Certificates"][0]["CertificateId"]
    assert code_of(iam.list_signing_certificates, UserName="alice") == ("NoSuchEntity", 404)
    assert code_of(iam.update_signing_certificate, CertificateId=mine, Status="Expired") == ("InvalidInput", 400)
    assert code_of(iam.update_signing_certificate, CertificateId=mine, Status="Off") == ("ValidationError", 400)
    assert code_of(iam.delete_signing_certificate, CertificateId="a" * 24) == ("NoSuchEntity", 404)
    assert code_of(iam.list_users)[0] == "UnsupportedOperation"


def test_iam_is_signed_for_us_east_1_whatever_the_region(tmp_path: Path) -> None:
    with open_services(tmp_path / "data", region="eu-west-1", zones=("eu-west-1a",)) as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            for region in ("us-east-1", "eu-west-1"):
                assert running.client("iam", region_name=region).list_signing_certificates()["Certificates"]
            assert code_of(running.client("ec2", region_name="us-east-1").describe_regions) == ("AuthFailure", 401)


def test_aws_cli_uploads_and_lists(edge: Edge, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text(certificate())

    def aws(*words: str) -> Any:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= {
            "AWS_ACCESS_KEY_ID": edge.account.access_key_id,
            "AWS_SECRET_ACCESS_KEY": edge.account.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_PAGER": "",
            "HOME": str(tmp_path),
        }
        command = [str(Path(sys.executable).parent / "aws"), "--endpoint-url", edge.endpoint, "iam", *words]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=True)
        return json.loads(done.stdout or b"null")

    made = aws("upload-signing-certificate", "--certificate-body", f"file://{tmp_path}/cert.pem")["Certificate"]
    listed = aws("list-signing-certificates", "--page-size", "1")["Certificates"]
    assert [one["CertificateId"] for one in listed][1:] == [made["CertificateId"]]


# ── the certificate that bundle keys are wrapped for ────────────────────────────────────────────────────────────────────

FORM = {"content-type": "application/x-www-form-urlencoded"}


def ask(edge: Edge, target: str = "/", region: str = "undefined-1234", **parameters: str) -> Any:
    """DescribeServiceCertificates as euca2ools sends it: region unknown, service bootstrap, Version eucalyptus."""
    said = {"Action": "DescribeServiceCertificates", "Version": "eucalyptus", **parameters}
    body = "&".join(f"{name}={value}" for name, value in said.items()).encode()
    headers = edge.sign("POST", target, body, FORM, service="bootstrap", region=region)
    return edge.send("POST", target, body, headers)


def items_of(text: str) -> list[dict[str, str]]:
    root = ElementTree.fromstring(text)
    found = [element for element in root.iter() if element.tag.rpartition("}")[2] == "item"]
    return [{child.tag.rpartition("}")[2]: child.text or "" for child in item} for item in found]


@pytest.mark.parametrize("target", ["/", "/services/Empyrean", "/services/bootstrap/"])
def test_euca2ools_finds_the_image_bundling_certificate(edge: Edge, target: str) -> None:
    answer = ask(edge, target, Format="pem", FingerprintDigest="SHA-256")
    (item,) = items_of(answer.text)
    assert (item["certificateUsage"], item["serviceType"]) == ("image-bundling", "compute")
    assert item["certificate"] == edge.services.installation.bundling_pem
    found = x509.load_pem_x509_certificate(item["certificate"].encode())
    assert item["certificateFingerprint"].replace(":", "").lower() == found.fingerprint(hashes.SHA256()).hex()


def test_it_may_be_asked_for_in_der_and_through_filters(edge: Edge) -> None:
    (item,) = items_of(ask(edge, Format="der", FingerprintDigest="SHA-1").text)
    found = x509.load_der_x509_certificate(base64.b64decode(item["certificate"]))
    assert item["certificateFingerprint"] == found.fingerprint(hashes.SHA1()).hex(":").upper()
    named = {"Filter.1.Name": "service-type", "Filter.1.Value.1": "compute"}
    assert len(items_of(ask(edge, **named).text)) == 1
    assert items_of(ask(edge, **{**named, "Filter.1.Value.1": "objectstorage"}).text) == []


def test_what_it_does_not_know_is_refused(edge: Edge) -> None:
    assert "<Code>InvalidParameterValue</Code>" in ask(edge, Format="p12").text
    assert "<Code>UnknownParameter</Code>" in ask(edge, Colour="red").text
    assert "<Code>InvalidAction</Code>" in ask(edge, Action="DescribeServices").text
    body = b"Action=DescribeServiceCertificates&Version=eucalyptus"
    headers = edge.sign("POST", "/", body, FORM, service="bootstrap", secret="wrong")
    assert edge.send("POST", "/", body, headers).status == 401


def test_the_public_certificate_is_there_for_curl(edge: Edge) -> None:
    answer = edge.send("GET", "/amiable/cert-ec2.pem")
    assert (answer.status, answer.text) == (200, edge.services.installation.bundling_pem)
    assert b"PRIVATE" not in answer.body
    assert edge.send("GET", "/amiable/v1/bundling-certificate").status == 401
