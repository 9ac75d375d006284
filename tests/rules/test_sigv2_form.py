"""Version 2 in forms, with botocore as the signer."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from botocore.auth import SigV2Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import Unauthenticated
from amiable.rules import sigv2, sigv2_form
from amiable.rules.sigv4 import Request

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REQUEST = Request("POST", "/", "", [("host", "127.0.0.1:2006")])
OWN_NAMES = st.text(min_size=1, max_size=12).filter(lambda name: name not in sigv2_form.OWN and name.isprintable())


def signed(parameters: dict[str, str], token: str | None = None) -> str:
    data = dict(parameters)
    SigV2Auth(Credentials("AKIAKEY", SECRET, token)).add_auth(AWSRequest("POST", "http://127.0.0.1:2006/", data=data))
    return urlencode(data)


def verify(form: str, request: Request = REQUEST, *, now: datetime | None = None) -> None:
    pairs = sigv2_form.pairs_of(request.raw_query, form)
    claim = sigv2_form.find_claim(pairs, "us-east-1")
    assert claim is not None and sigv2.is_of_version_2(claim)
    assert claim.scope.access_key_id == "AKIAKEY"
    sigv2_form.verify(request, pairs, claim, SECRET, now or datetime.now(UTC))


@given(st.dictionaries(OWN_NAMES, st.text(max_size=20), max_size=6))
def test_whatever_botocore_signs_is_verified(parameters: dict[str, str]) -> None:
    form = signed({"Action": "A", **parameters})
    verify(form)
    with pytest.raises(Unauthenticated):
        verify(form + "&more=")


def test_the_version_names_the_service() -> None:
    for version, service in (("2010-05-08", "iam"), ("2011-06-15", "sts"), ("2016-11-15", "ec2"), ("x", "ec2")):
        claim = sigv2_form.find_claim(sigv2_form.pairs_of(signed({"Version": version})), "here")
        assert claim is not None and (claim.scope.service, claim.scope.region) == (service, "here")


def test_a_sessions_token_is_among_what_is_signed() -> None:
    form = signed({"Action": "A"}, "token/+=")
    assert sigv2_form.security_token(sigv2_form.pairs_of(form)) == "token/+="
    verify(form)
    with pytest.raises(Unauthenticated):
        verify(form.replace("token", "other"))


def test_method_host_and_path_are_signed() -> None:
    form = signed({"Action": "A"})
    for request in (
        Request("GET", "/", "", REQUEST.headers),
        Request("POST", "/other", "", REQUEST.headers),
        Request("POST", "/", "", [("host", "127.0.0.1:80")]),
        Request("POST", "/", "DryRun=true", REQUEST.headers),
    ):
        with pytest.raises(Unauthenticated) as caught:
            verify(form, request)
        assert caught.value.kind == "wrong-signature"


def test_a_form_is_good_for_15_minutes() -> None:
    form, now = signed({"Action": "A"}), datetime.now(UTC)
    for minutes in (-16, 16):
        with pytest.raises(Unauthenticated) as caught:
            verify(form, now=now + timedelta(minutes=minutes))
        assert caught.value.kind == "skewed"
    verify(form, now=now + timedelta(minutes=14))


def test_a_form_without_a_key_has_no_claim() -> None:
    assert sigv2_form.find_claim(sigv2_form.pairs_of("Action=A&Signature=x"), "us-east-1") is None
