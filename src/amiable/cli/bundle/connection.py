"""Which servers a verb speaks to, and as whom: what the environment says, unless flags say otherwise."""

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from amiable.cli.client import endpoint, is_http_url, session
from amiable.cli.output import say
from amiable.model.errors import LocalRefusal

if TYPE_CHECKING:
    from amiable.bundle.form_upload import FormUploads
    from amiable.bundle.transfer import Patience


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Connection:
    """Flags of ec2-ami-tools that name a server and credentials.  The library tries again, so the clients of S3 do not."""

    url: Annotated[str | None, Parameter(help="S3 endpoint. Default: AWS_ENDPOINT_URL.")] = None
    region: Annotated[str | None, Parameter(help="Region. Default: AWS_REGION.")] = None
    access_key: Annotated[
        str | None, Parameter(name=["--access-key", "-a"], help="Access key id. Default: the environment's.")
    ] = None
    secret_key: Annotated[
        str | None,
        Parameter(name=["--secret-key", "-s"], help="Its secret; others on this host see it: rather the environment."),
    ] = None
    delegation_token: Annotated[
        str | None, Parameter(name=["--delegation-token", "-t"], help="Session token of temporary credentials.")
    ] = None
    sigv: Annotated[Literal["2", "4"], Parameter(help="Version of S3's signature.")] = "4"
    retry: Annotated[bool, Parameter(help="Try again what passes by itself: lost connections, a busy server.")] = True

    def s3(self) -> Any:
        """A client of S3."""
        return self._client(
            "s3", s3={"addressing_style": "path"}, signature_version="s3v4" if self.sigv == "4" else "s3"
        )

    def ec2(self, url: str | None = None, region: str | None = None, profile: str | None = None) -> Any:
        """A client of EC2 at ``url``, else where AWS_ENDPOINT_URL says: ``--url`` is S3's.

        With ``profile`` the credentials are that profile's, whatever flags and the environment say.
        """
        mine = replace(self, url=url, region=region or self.region)
        if profile is not None:
            mine = replace(mine, access_key=None, secret_key=None, delegation_token=None)
        return mine._client("ec2", profile)

    def form_uploads(self, policy: str, signature: str) -> "FormUploads":
        """What uploads under a signed policy, with the access key id of who signed it and no secret."""
        from amiable.bundle.form_upload import FormUploads, Permit, read_policy_text

        if self.access_key is None:
            raise LocalRefusal("whose policy is it?", hint="-a ACCESS_KEY_ID of who signed it", exit_code=2)
        permit = Permit(read_policy_text(policy), signature, self.access_key, self.delegation_token)
        return FormUploads(self._endpoint(), permit)

    def patience(self) -> "Patience":
        """How often the library tries again; it says so when it does."""
        from amiable.bundle.transfer import ONE_TRY, Patience

        return Patience(tell=say) if self.retry else replace(ONE_TRY, tell=say, stopped=threading.Event())

    def _client(self, service: str, profile: str | None = None, **config: Any) -> Any:
        from botocore.config import Config

        from amiable.bundle.whole_answers import whole_answers

        if (self.access_key is None) != (self.secret_key is None):
            raise LocalRefusal("an access key and its secret go together", hint="-a KEY -s SECRET", exit_code=2)
        settings: dict[str, Any] = {
            "connect_timeout": 10,
            "read_timeout": 300,
            "retries": {"total_max_attempts": 1 if service == "s3" else 3},
            # Older S3 servers know neither trailers nor checksums but MD5.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        made = session(profile).client(
            service,
            endpoint_url=self._endpoint(),
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            aws_session_token=self.delegation_token,
            config=Config(**settings, **config),
        )
        return whole_answers(made)

    def _endpoint(self) -> str:
        if self.url is None:
            return endpoint()
        if not is_http_url(self.url):
            raise LocalRefusal(f"{self.url} is no http URL", hint="it is like http://HOST:PORT", exit_code=2)
        return self.url.rstrip("/")
