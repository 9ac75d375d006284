"""The instance metadata service as a client inside an instance reads it: IMDSv2 with a token, version 1 where there is none."""

import http.client
import os
from urllib.parse import urlsplit

from amiable.bundle.volume.inherited import Read
from amiable.model.errors import LocalRefusal

ENDPOINT = "http://169.254.169.254"
ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
WAIT_SECONDS_MAX = 5
ANSWER_BYTES_MAX = 1 << 20
TOKEN_SECONDS = 300


def reader(endpoint: str | None = None) -> Read:
    """A reader of /latest/meta-data/; raises LocalRefusal where no metadata service answers.  Proxies are not asked."""
    url = urlsplit(endpoint or os.environ.get(ENDPOINT_VARIABLE) or ENDPOINT)
    if url.scheme != "http" or not url.hostname:
        raise LocalRefusal(f"{url.geturl()} is no metadata endpoint", hint=ENDPOINT, exit_code=2)
    host, port, base = url.hostname, url.port or 80, url.path.rstrip("/")

    def ask(method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        connection = http.client.HTTPConnection(host, port, timeout=WAIT_SECONDS_MAX)
        try:
            connection.request(method, base + path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(ANSWER_BYTES_MAX).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise LocalRefusal(
                f"the instance metadata service at {host} cannot be reached: {error}",
                hint="--no-inherit, where this is no instance or nothing is to be inherited",
                exit_code=69,
            ) from error
        finally:
            connection.close()

    status, token = ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)})
    headers = {"X-aws-ec2-metadata-token": token.strip()} if status == 200 else {}

    def read(path: str) -> str | None:
        status, text = ask("GET", f"/latest/meta-data/{path}", headers)
        if status == 404:
            return None
        if status != 200:
            raise LocalRefusal(
                f"the instance metadata service answered {status} for {path}",
                hint="--no-inherit does without",
                exit_code=69,
            )
        return text

    return read
