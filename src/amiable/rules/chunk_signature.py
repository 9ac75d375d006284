"""The chain of signatures over the chunks of a signed ``aws-chunked`` body.

Each chunk's signature covers the one before it, the first the request's own, so chunks can be neither changed, nor swapped, nor left out.
Source: S3 API reference, "Signature calculations: transferring payload in multiple chunks" and "… including trailing headers".
"""

import hmac
from hashlib import sha256
from typing import Final

from amiable.model.errors import S3Refusal
from amiable.rules.sigv4 import EMPTY_SHA256, Signature

CHUNK: Final = "AWS4-HMAC-SHA256-PAYLOAD"
TRAILER: Final = "AWS4-HMAC-SHA256-TRAILER"


class ChunkChain:
    """The chain, as far as it is verified."""

    def __init__(self, signature: Signature) -> None:
        self._key = signature.signing_key
        self._head = f"{signature.amz_date}\n{signature.claim.scope.text}\n"
        self._previous = signature.claim.signature

    def check_chunk(self, signature: str, sha256_hex: str) -> None:
        """Verifies the next chunk, whose data has the hash; raises SignatureDoesNotMatch."""
        self._check(signature, f"{CHUNK}\n{self._head}{self._previous}\n{EMPTY_SHA256}\n{sha256_hex}")

    def check_trailer(self, signature: str, trailer: bytes) -> None:
        """Verifies the trailing headers in their canonical form, ``name:value\\n`` each; raises SignatureDoesNotMatch."""
        self._check(signature, f"{TRAILER}\n{self._head}{self._previous}\n{sha256(trailer).hexdigest()}")

    def _check(self, signature: str, text: str) -> None:
        expected = hmac.new(self._key, text.encode(), sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            message = "The signature of a chunk does not match the signature that was calculated for it."
            raise S3Refusal("SignatureDoesNotMatch", 403, message)
        self._previous = signature
