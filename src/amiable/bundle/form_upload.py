"""S3's upload by form, for who holds a signed policy and no secret: ``put_object`` of a client of S3, and nothing else.

Fields key, acl, Policy, Signature, AWSAccessKeyId, then the file.  Source: S3 API reference, "POST Object"; euca-upload-bundle's
``--upload-policy``.
"""

import base64
import re
import secrets
from dataclasses import dataclass
from typing import IO, Any, Final

from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from amiable.bundle.whole_answers import WholeAnswers

ANSWER_CHARACTERS_MAX: Final = 2000
_CODE: Final = re.compile(r"<Code>([A-Za-z0-9.]{1,100})</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]{1,1000})</Message>")


@dataclass(frozen=True, slots=True)
class Permit:
    """A signed policy: its base64 text, the signature of that text, and the access key id of who signed it."""

    policy: str
    signature: str
    access_key_id: str
    token: str | None = None


def read_policy_text(text: str) -> str:
    """The policy as it is signed and sent, in base64; a policy given as JSON is encoded."""
    stripped = text.strip()
    return base64.b64encode(stripped.encode()).decode() if stripped.startswith("{") else "".join(stripped.split())


class FormUploads:
    """Uploads to the S3 server at ``endpoint`` under ``permit``."""

    def __init__(self, endpoint: str, permit: Permit, *, timeout_seconds: int = 300) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._permit = permit
        self._session = WholeAnswers(URLLib3Session(timeout=timeout_seconds, max_pool_connections=64))

    def put_object(self, *, Bucket: str, Key: str, Body: bytes | IO[bytes], ACL: str, **_: Any) -> dict[str, Any]:
        """Uploads the object; raises ClientError as a client of S3 does.  What else a client may be told is not sent."""
        permit = self._permit
        fields = {
            "key": Key,
            "acl": ACL,
            "Policy": permit.policy,
            "Signature": permit.signature,
            "AWSAccessKeyId": permit.access_key_id,
        }
        if permit.token is not None:
            fields["x-amz-security-token"] = permit.token
        boundary = secrets.token_hex(16)
        data = encode_form(fields, Body if isinstance(Body, bytes) else Body.read(), boundary)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        request = AWSRequest("POST", f"{self._endpoint}/{Bucket}", headers=headers, data=data)
        answer = self._session.send(request.prepare())
        if answer.status_code >= 300:
            raise _error(answer.status_code, answer.text[:ANSWER_CHARACTERS_MAX])
        return {"ETag": answer.headers.get("ETag", "")}

    def close(self) -> None:
        """Closes its connections."""
        self._session.close()


def encode_form(fields: dict[str, str], file: bytes, boundary: str) -> bytes:
    """The form's body; the file comes last, as S3 demands."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()
    ]
    head = 'Content-Disposition: form-data; name="file"; filename="file"\r\nContent-Type: application/octet-stream'
    return b"".join([*parts, f"--{boundary}\r\n{head}\r\n\r\n".encode(), file, f"\r\n--{boundary}--\r\n".encode()])


def _error(status: int, text: str) -> ClientError:
    code, message = _CODE.search(text), _MESSAGE.search(text)
    found: Any = {
        "Error": {"Code": code[1] if code else str(status), "Message": message[1] if message else "no reason given"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(found, "PostObject")
