"""Uploads under a signed policy, against a real server: what it allows arrives, what it does not is refused."""

import base64
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from amiable.bundle.form_upload import FormUploads, Permit, read_policy_text
from amiable.bundle.transfer import Place, list_held
from amiable.bundle.unbundle import Waivers, read_bundle
from amiable.bundle.upload import Bundle, Uploaded, UploadOrder, upload
from tests.bundle.clients import Failing, answered, impatient
from tests.support.cases import cases_dir
from tests.support.server import Server

CASE = cases_dir() / "bundles" / "good" / "euca34-four-parts" / "small.img.manifest.xml"
POLICY = {
    "expiration": "2199-01-01T00:00:00Z",
    "conditions": [{"acl": "ec2-bundle-read"}, {"bucket": "drop"}, ["starts-with", "$key", "web/"]],
}


@pytest.fixture
def permit(server: Server) -> Permit:
    """What the bucket's owner gives away: a signed policy."""
    owner = server.credentials()
    text = read_policy_text(json.dumps(POLICY))
    digest = hmac.digest(owner["SecretAccessKey"].encode(), text.encode(), "sha1")
    return Permit(text, base64.b64encode(digest).decode(), owner["AccessKeyId"])


@pytest.fixture
def s3(server: Server) -> Any:
    client = server.client("s3")
    client.create_bucket(Bucket="drop")
    return client


def send(forms: Any, folder: str = "web/", manifest: Path = CASE, acl: str = "ec2-bundle-read") -> Uploaded:
    bundle = Bundle(read_bundle(manifest, None, Waivers(signature=True)), manifest, manifest.parent)
    order = UploadOrder(Place("drop", folder), acl, is_blind=True)
    return upload(forms, bundle, order=order, patience=impatient())


def test_a_bundle_goes_up_under_a_policy(server: Server, s3: Any, permit: Permit) -> None:
    forms = FormUploads(server.endpoint, permit)
    busy = Failing(forms, "put_object", count=2, error=lambda: answered(503))
    assert send(busy) == Uploaded("drop/web/small.img.manifest.xml", "", 4, 0)
    forms.close()
    files = [path for path in CASE.parent.iterdir() if path.name.startswith("small.img.")]
    assert len(files) == 5
    for path in files:
        assert s3.get_object(Bucket="drop", Key=f"web/{path.name}")["Body"].read() == path.read_bytes()
        assert len(s3.get_object_acl(Bucket="drop", Key=f"web/{path.name}")["Grants"]) == 2


def test_what_the_policy_does_not_allow_is_refused_in_the_server_s_words(
    server: Server, s3: Any, permit: Permit
) -> None:
    before = list_held(s3, "drop", "", impatient())
    forms = FormUploads(server.endpoint, permit)
    for folder, acl in (("other/", "ec2-bundle-read"), ("web/", "public-read")):
        with pytest.raises(ClientError) as refused:
            send(forms, folder, acl=acl)
        assert refused.value.response["Error"]["Code"] == "AccessDenied"
        assert "olicy" in refused.value.response["Error"]["Message"]
    forms.close()
    assert list_held(s3, "drop", "", impatient()) == before


def test_a_server_that_is_not_there_is_told_at_once(permit: Permit) -> None:
    forms = FormUploads("http://127.0.0.1:9", permit)
    with pytest.raises(EndpointConnectionError):
        send(forms)
    forms.close()


def test_a_policy_is_sent_as_it_was_signed() -> None:
    text = json.dumps(POLICY)
    encoded = base64.b64encode(text.encode()).decode()
    assert read_policy_text(f"  {text}\n") == encoded
    assert read_policy_text(f"{encoded[:20]}\n{encoded[20:]}\n") == encoded
