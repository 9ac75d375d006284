"""Signatures: AWS's own vectors, botocore as the signer, and every way to be refused."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.model.errors import Unauthenticated
from amiable.rules import sigv4
from amiable.rules.sigv4 import Claim, Request, Scope

KEY, SECRET = "AKIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def _the_clock_that_botocore_signs_with() -> None:
    global NOW  # noqa: PLW0603  a long run is hours away from its import
    NOW = datetime.now(UTC).replace(microsecond=0)


EMPTY = hashlib.sha256(b"").hexdigest()
SIGNERS: dict[str, Any] = {"s3": auth.S3SigV4Auth, "query": auth.SigV4QueryAuth, "s3-query": auth.S3SigV4QueryAuth}


def sign(
    method: str = "POST",
    url: str = "http://127.0.0.1:2006/",
    *,
    body: bytes = b"",
    service: str = "ec2",
    signer: str = "",
    headers: dict[str, str] | None = None,
    region: str = "us-east-1",
) -> Request:
    """A request as botocore signs it, as the server sees it."""
    made = AWSRequest(method, url, headers=headers or {}, data=body)
    SIGNERS.get(signer or service, auth.SigV4Auth)(Credentials(KEY, SECRET), service, region).add_auth(made)
    parts = urlsplit(made.prepare().url)
    sent = [("host", parts.netloc), *((name.lower(), str(value)) for name, value in made.headers.items())]
    return Request(method, parts.path, parts.query, sent)


def verify(
    request: Request, *, body: bytes = b"", secret: str = SECRET, now: datetime | None = None
) -> sigv4.Signature:
    claim = sigv4.find_claim(request)
    assert claim is not None
    return sigv4.verify(request, claim.over(hashlib.sha256(body).hexdigest()), secret, now or datetime.now(UTC))


def with_header(request: Request, name: str, value: str | None) -> Request:
    """``request`` with one header replaced, or removed."""
    kept = [(key, old) for key, old in request.headers if key != name]
    return replace(request, headers=kept if value is None else [*kept, (name, value)])


def refusal(request: Request, **how: Any) -> str:
    with pytest.raises(Unauthenticated) as refused:
        verify(request, **how)
    return refused.value.kind


# ── vectors ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

# AWS's "aws-sig-v4-test-suite", key AKIDEXAMPLE, 2015-08-30, service "service".
VECTOR_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
VECTORS = [
    ("get-vanilla", "GET", "", "", [], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    (
        "get-vanilla-query-order-key-case",
        "GET",
        "",
        "Param2=value2&Param1=value1",
        [],
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "get-header-value-trim",
        "GET",
        "",
        "",
        [("my-header1", " value1"), ("my-header2", ' "a   b   c"')],
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    (
        "get-header-key-duplicate",
        "GET",
        "",
        "",
        [("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    ("post-vanilla", "POST", "", "", [], "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
]


@pytest.mark.parametrize(
    ("name", "method", "path", "query", "extra", "signature"), VECTORS, ids=[v[0] for v in VECTORS]
)
def test_the_published_vectors_hold(
    name: str, method: str, path: str, query: str, extra: list[tuple[str, str]], signature: str
) -> None:
    headers = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z"), *extra]
    names = tuple(sorted({key for key, _ in headers}))
    claim = Claim(
        Scope("AKIDEXAMPLE", "20150830", "us-east-1", "service"),
        names,
        signature,
        datetime(2015, 8, 30, 12, 36, tzinfo=UTC),
        None,
        EMPTY,
    )
    verified = sigv4.verify(
        Request(method, path, query, headers), claim, VECTOR_SECRET, datetime(2015, 8, 30, 12, 40, tzinfo=UTC)
    )
    assert verified.amz_date == "20150830T123600Z"


def test_the_presigned_example_of_the_s3_reference_holds() -> None:
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    request = Request("GET", "/test.txt", query, [("host", "examplebucket.s3.amazonaws.com")])
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    assert verify(request, secret=secret, now=datetime(2013, 5, 24, 12, tzinfo=UTC)).payload == "UNSIGNED-PAYLOAD"
    assert refusal(request, secret=secret, now=datetime(2013, 5, 25, 0, 0, 1, tzinfo=UTC)) == "expired"


# ── botocore signs, we verify ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_request_with_a_body_verifies_and_the_hash_is_that_of_the_body() -> None:
    signature = verify(sign(body=b"Action=DescribeImages"), body=b"Action=DescribeImages")
    assert signature.body_sha256 == hashlib.sha256(b"Action=DescribeImages").hexdigest()
    assert signature.claim.scope == Scope(KEY, NOW.strftime("%Y%m%d"), "us-east-1", "ec2")


@given(st.text(min_size=1, max_size=20), st.text(max_size=10), st.sampled_from(["s3", "ebs", "ec2", "amiable"]))
@settings(deadline=None, max_examples=200)
def test_any_path_and_query_verify_as_their_service_encodes_them(key: str, value: str, service: str) -> None:
    key, value = (text.encode(errors="replace").decode() for text in (key, value))
    path = "/bucket/k" + quote(key, safe="/~") + "k"
    if service != "s3" and ("/." in path or "//" in path):
        return  # botocore removes dot segments and empty ones there, and no path of these services has any
    url = f"http://127.0.0.1:2006{path}?prefix={quote(value, safe='~')}&empty=&list-type=2"
    verify(sign("GET", url, service=service))
    verify(sign("GET", url, service=service, signer="s3-query" if service == "s3" else "query"))


@pytest.mark.parametrize(
    "key", ["a b", "a%20b", "a+b", "a//b", "/a", "../a", "a/./b", "é", "a%2Fb", "~-._", "%", "a?b#c", "(a)*'!"]
)
def test_odd_keys_of_s3_verify(key: str) -> None:
    verify(sign("PUT", f"http://127.0.0.1:2006/bucket/{quote(key, safe='/~')}", service="s3"))


def test_an_encoded_slash_in_a_key_is_signed_as_it_is_sent() -> None:
    verify(sign("GET", "http://127.0.0.1:2006/bucket/a%2Fb", service="s3"))


@pytest.mark.parametrize(
    "value", ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"]
)
def test_s3_may_sign_no_hash_of_the_body(value: str) -> None:
    request = sign_payload("s3", value)
    signature = verify(request)
    assert (signature.payload, signature.body_sha256) == (value, None)


def sign_payload(service: str, value: str) -> Request:
    """A request signed over ``value`` as x-amz-content-sha256, by the rules' own arithmetic."""
    date = NOW.strftime("%Y%m%dT%H%M%SZ")
    headers = [("host", "h"), ("x-amz-content-sha256", value), ("x-amz-date", date)]
    scope = Scope(KEY, date[:8], "us-east-1", service)
    claim = Claim(scope, ("host", "x-amz-content-sha256", "x-amz-date"), "", NOW, None, value)
    return with_signature(Request("PUT", "/", "", headers), claim)


def with_signature(request: Request, claim: Claim) -> Request:
    """``request`` with the header that claims ``claim``, rightly signed."""
    import hmac

    text = sigv4.string_to_sign(claim, sigv4.canonical_request(request, claim))
    signature = hmac.new(sigv4.signing_key(SECRET, claim.scope), text.encode(), hashlib.sha256).hexdigest()
    names = ";".join(claim.signed_headers)
    credential = f"{claim.scope.access_key_id}/{claim.scope.text}"
    header = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return with_header(request, "authorization", header)


def test_a_date_header_in_http_form_serves_for_the_time() -> None:
    text = NOW.strftime("%a, %d %b %Y %H:%M:%S GMT")
    claim = Claim(Scope(KEY, NOW.strftime("%Y%m%d"), "us-east-1", "ec2"), ("date", "host"), "", NOW, None, EMPTY)
    verify(with_signature(Request("POST", "/", "", [("host", "h"), ("date", text)]), claim))


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_signature_there_is_no_claim() -> None:
    assert sigv4.find_claim(Request("GET", "/", "a=b", [("host", "h")])) is None


def test_a_wrong_secret_method_path_query_header_or_body_is_refused() -> None:
    request = sign("POST", "http://127.0.0.1:2006/a?b=c", body=b"x", headers={"x-amz-meta-a": "1"})
    verify(request, body=b"x")
    assert refusal(request, body=b"x", secret="no") == "wrong-signature"
    assert refusal(request, body=b"y") == "wrong-signature"
    assert refusal(replace(request, method="GET"), body=b"x") == "wrong-signature"
    assert refusal(replace(request, raw_path="/b"), body=b"x") == "wrong-signature"
    assert refusal(replace(request, raw_query="b=d"), body=b"x") == "wrong-signature"
    assert refusal(with_header(request, "x-amz-meta-a", "2"), body=b"x") == "wrong-signature"
    assert refusal(with_header(request, "host", "elsewhere"), body=b"x") == "wrong-signature"


def test_a_signature_holds_for_15_minutes_before_and_after() -> None:
    request = sign()
    for minutes, kind in ((14, None), (16, "skewed"), (-14, None), (-16, "skewed")):
        now = NOW + timedelta(minutes=minutes)
        if kind is None:
            verify(request, now=now)
        else:
            assert refusal(request, now=now) == kind


def test_a_presigned_request_holds_until_it_expires_and_not_before_its_time() -> None:
    request = sign("GET", signer="query")
    verify(request, now=NOW + timedelta(minutes=59))
    assert refusal(request, now=NOW + timedelta(minutes=61)) == "expired"
    assert refusal(request, now=NOW - timedelta(minutes=16)) == "skewed"


def authorization(request: Request) -> str:
    return request.values("authorization")[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("AWS4-HMAC-SHA256 ", ""),
        ("Signature=", "Signatur="),
        ("Signature=", "Signature=a, Signature="),
        ("Signature=", ""),
        ("/aws4_request", "/aws4_response"),
        ("/us-east-1", ""),
        ("us-east-1", ""),
        ("SignedHeaders=host", "SignedHeaders=Host"),
        ("SignedHeaders=host", "SignedHeaders=x;host"),
        ("SignedHeaders=host", "SignedHeaders=host;host"),
        ("SignedHeaders=host;x-amz-date", "SignedHeaders=x-amz-date"),
        ("SignedHeaders=host;x-amz-date", "SignedHeaders=host"),
        ("SignedHeaders=host", "SignedHeaders=absent;host"),
        ("TODAY", "20200101"),
        ("TODAY", "2020"),
    ],
)
def test_a_malformed_authorization_is_refused_as_such(old: str, new: str) -> None:
    request = sign()
    old = old.replace("TODAY", NOW.strftime("%Y%m%d"))
    assert old in authorization(request)
    bad = with_header(request, "authorization", authorization(request).replace(old, new))
    assert refusal(bad) == "malformed"


def test_half_a_claim_and_two_claims_are_refused() -> None:
    request, presigned = sign(), sign("GET", signer="query")
    assert (
        refusal(replace(request, headers=[*request.headers, ("authorization", authorization(request))])) == "malformed"
    )
    assert refusal(replace(request, raw_query=presigned.raw_query)) == "malformed"
    assert refusal(with_header(request, "x-amz-date", None)) == "malformed"
    assert refusal(with_header(request, "x-amz-date", "2026-01-01")) == "malformed"
    assert refusal(replace(request, headers=[*request.headers, ("x-amz-date", "20260101T000000Z")])) == "malformed"
    for name in ("Algorithm", "Credential", "Date", "SignedHeaders", "Signature"):
        pairs = [pair for pair in presigned.raw_query.split("&") if not pair.startswith(f"X-Amz-{name}=")]
        if name != "Signature":
            assert refusal(replace(presigned, raw_query="&".join(pairs))) == "malformed"
        assert refusal(replace(presigned, raw_query=presigned.raw_query + f"&X-Amz-{name}=x")) == "malformed"


@pytest.mark.parametrize("expires", ["0", "-1", "604801", "abc", "", "1e3", "\u0663", "9" * 5000])
def test_an_expiry_out_of_bounds_is_refused(expires: str) -> None:
    presigned = sign("GET", signer="query")
    assert "X-Amz-Expires=3600" in presigned.raw_query
    assert (
        refusal(replace(presigned, raw_query=presigned.raw_query.replace("=3600", f"={quote(expires)}"))) == "malformed"
    )


def test_an_amz_header_that_is_not_signed_is_refused() -> None:
    assert refusal(with_header(sign(), "x-amz-meta-a", "1")) == "malformed"


def test_a_sessions_token_is_read_from_header_or_query_and_must_be_one() -> None:
    request = sign(headers={"x-amz-security-token": "t"})
    assert sigv4.security_token(request) == "t"
    assert sigv4.security_token(sign()) is None
    with_two = sigv4.Request("GET", "/", "X-Amz-Security-Token=u", request.headers)
    with pytest.raises(Unauthenticated):
        sigv4.security_token(with_two)


@pytest.mark.parametrize(
    ("service", "value"),
    [
        ("ec2", "UNSIGNED-PAYLOAD"),
        ("ebs", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("s3", "STREAMING-SOMETHING-NEW"),
        ("s3", "ABC"),
        ("s3", ""),
    ],
)
def test_a_payload_word_that_the_service_does_not_take_is_refused(service: str, value: str) -> None:
    claim = sigv4.find_claim(sign_payload(service, value))
    assert claim is not None
    with pytest.raises(Unauthenticated, match="Content-SHA256"):
        sigv4.verify(sign_payload(service, value), claim, SECRET, NOW)


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_no_request_at_all_brings_the_reader_down(path: bytes, query: bytes, header: bytes) -> None:
    text = [part.decode("latin-1") for part in (path, query, header)]
    for authorization_header in (text[2], f"AWS4-HMAC-SHA256 {text[2]}"):
        request = Request(
            "GET", text[0], "X-Amz-Signature=" + text[1], [("host", "h"), ("authorization", authorization_header)]
        )
        sigv4.named_service(request)
        for form in (request, replace(request, raw_query=text[1]), with_header(request, "authorization", None)):
            try:
                claim = sigv4.find_claim(form)
            except Unauthenticated:
                continue
            if claim is not None:
                assert refusal(form) in ("malformed", "wrong-signature", "skewed", "expired")


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_is_written_as_it_is_read(moment: datetime) -> None:
    assert sigv4.read_time(sigv4.write_time(moment)) == moment.replace(microsecond=0)
