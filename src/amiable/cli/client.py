"""Clients of the server: boto3 for what EC2, EBS direct, S3 and STS have calls for, signed requests for Amiable's own API.

Credentials, region and endpoint are found as the AWS tools find them.  Without an endpoint nothing is asked: a command meant for
this installation must not reach a cloud by accident.  boto3 costs 0.3 s, so it is imported when a client is made.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from signal import SIGINT
from time import monotonic, sleep
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from amiable.cli.hints import OTHER_SERVER, exit_code_for, hint_for
from amiable.cli.output import say
from amiable.model.errors import LocalRefusal

WAIT_PAUSE_SECONDS = 0.5
T = TypeVar("T")


class NothingNamed(LocalRefusal):
    """Neither environment nor profile names what a request needs: an endpoint, an access key."""


def session(profile: str | None = None) -> Any:
    """boto3's default session, or that of a profile of the AWS configuration; AWS_REGION is heeded, as other SDKs do and boto3 does not."""
    import boto3
    from botocore.exceptions import ProfileNotFound

    try:
        return boto3.session.Session(profile_name=profile, region_name=os.environ.get("AWS_REGION") or None)
    except ProfileNotFound as error:
        raise LocalRefusal(f"{error}", hint="aws configure --profile NAME makes one", exit_code=2) from error


def endpoint() -> str:
    """The server's endpoint, from AWS_ENDPOINT_URL or the profile's endpoint_url; refuses what is no http URL."""
    found = os.environ.get("AWS_ENDPOINT_URL") or session()._session.get_scoped_config().get("endpoint_url")
    if not found:
        raise NothingNamed("no server is named: AWS_ENDPOINT_URL is not set", hint='eval "$(amiable env)"', exit_code=2)
    if not is_http_url(str(found)):
        raise LocalRefusal(
            f"AWS_ENDPOINT_URL is no http URL: {found}",
            hint='it is like http://127.0.0.1:2006: eval "$(amiable env)"',
            exit_code=2,
        )
    return str(found).rstrip("/")


def is_http_url(text: str) -> bool:
    """Whether ``text`` is ``http(s)://HOST[:PORT]``, a path allowed."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Credentials:
    """A session's credentials, in place of those that the environment names."""

    access_key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)


def client(service: str, *, credentials: Credentials | None = None, **config: Any) -> Any:
    """A boto3 client of ``service`` at :func:`endpoint`."""
    from botocore.config import Config

    from amiable.bundle.whole_answers import whole_answers

    settings: dict[str, Any] = {
        "connect_timeout": 5,
        "read_timeout": 300,
        "retries": {"mode": "standard", "max_attempts": 3},
    }
    if service == "s3":
        settings["s3"] = {"addressing_style": "path"}
    given: dict[str, str] = {}
    if credentials is not None:
        given = {
            "aws_access_key_id": credentials.access_key_id,
            "aws_secret_access_key": credentials.secret,
            "aws_session_token": credentials.token,
        }
    return whole_answers(
        session().client(service, endpoint_url=endpoint(), config=Config(**{**settings, **config}), **given)
    )


def call(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """One request of Amiable's own API (``/amiable/v1`` + ``path``); the answer's JSON.  Raises LocalRefusal with the server's words."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    from amiable.bundle.whole_answers import WholeAnswers

    made = session()
    credentials = made.get_credentials()
    if credentials is None:
        raise NothingNamed("no access key was found", hint='eval "$(amiable env)"')
    data = json.dumps(body, ensure_ascii=False).encode() if body is not None else b""
    request = AWSRequest(
        method, f"{endpoint()}/amiable/v1{path}", headers={"Content-Type": "application/json"}, data=data
    )
    SigV4Auth(credentials.get_frozen_credentials(), "amiable", made.region_name or "us-east-1").add_auth(request)
    answer = WholeAnswers(URLLib3Session(timeout=300)).send(request.prepare())
    try:
        found = json.loads(answer.content) if answer.content else {}
    except ValueError:
        raise LocalRefusal(
            f"what answers at {endpoint()} is no Amiable server", hint=OTHER_SERVER, exit_code=69
        ) from None
    if answer.status_code >= 300:
        code, message = str(found.get("Code")), str(found.get("Message"))
        hint = found.get("Hint") or hint_for(code, message)
        raise LocalRefusal(f"{code}: {message}", hint=hint, exit_code=exit_code_for(code, answer.status_code, message))
    return found


def in_path(name: str) -> str:
    """``name`` as one segment of a path of :func:`call`; refuses what can be none, and so names nothing."""
    if name in ("", ".", ".."):
        hint = "" if name else "is a variable of the shell empty?"
        raise LocalRefusal(f"'{name}' names nothing", hint=hint, exit_code=2)
    return quote(name, safe="")


def the_image(ec2: Any, image_id: str) -> dict[str, Any]:
    """The image as it is told; refuses one that its owner deregistered just now, which DescribeImages leaves out."""
    found: list[dict[str, Any]] = ec2.describe_images(ImageIds=[image_id])["Images"]
    if not found:
        raise LocalRefusal(f"{image_id} was deregistered", hint="amiable image list")
    return found[0]


def rehearse(operation: Callable[..., Any], **request: Any) -> None:
    """Asks with DryRun whether the operation would be done; raises what would refuse it."""
    from botocore.exceptions import ClientError

    try:
        operation(**request, DryRun=True)
    except ClientError as error:
        if error.response["Error"]["Code"] != "DryRunOperation":
            raise


def wait_for(what: str, look: Callable[[], T | None], seconds_max: float, *, hint: str = "") -> T:
    """Asks ``look`` until it gives something, at most ``seconds_max``; then refuses with ``hint`` and exit code 124.

    ``what`` names the id: whoever ends the wait by Ctrl-C is told of what it was, which may be printed nowhere else.
    """
    try:
        return ask_until_told(what, look, seconds_max, hint=hint)
    except KeyboardInterrupt:
        say(f"no longer waiting for {what}")
        raise


def ask_until_told(what: str, look: Callable[[], T | None], seconds_max: float, *, hint: str = "") -> T:
    """The same, without a word where it is broken off."""
    until = monotonic() + seconds_max
    while (found := look()) is None:
        if monotonic() > until:
            raise LocalRefusal(f"waited {seconds_max:.0f} s for {what}", hint=hint, exit_code=124)
        sleep(WAIT_PAUSE_SECONDS)
    return found


@contextmanager
def until_ctrl_c() -> Iterator[None]:
    """Ends what goes on until Ctrl-C by it without a word: it is how it ends, and no error.  Other signals are told as ever."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if type(interrupt) is not KeyboardInterrupt:
            raise
        raise SystemExit(128 + SIGINT) from None
