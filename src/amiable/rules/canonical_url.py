"""A request's path and query in the one spelling that signatures of version 4 cover.

S3 signs the path as sent, percent-encoded once; every other service signs it encoded twice.  Paths are never normalised: clients of
S3 do not normalise, and the others send nothing to normalise (an empty path is ``/``).  Raw paths and queries are as they came, one
character a byte (latin-1).

Source: AWS General Reference, "Signature Version 4 signing process".
"""

from typing import Final
from urllib.parse import quote, unquote_to_bytes

SAFE: Final = "-_.~"


def canonical_path(raw_path: str, service: str) -> str:
    """S3: each byte encoded once, however the client spelled it (``%2F`` stays itself).  Others: as sent, encoded once more."""
    if not raw_path:
        return "/"
    if service == "s3":
        return "/".join(_encoded_once(segment) for segment in raw_path.split("/"))
    return quote(raw_path.encode("latin-1"), safe="/" + SAFE)


def canonical_query(raw_query: str) -> str:
    """Pairs in order of name, then value, each encoded once; without ``X-Amz-Signature``."""
    pairs = [
        (_encoded_once(key.replace("+", " ")), _encoded_once(value.replace("+", " ")))
        for key, value in _raw_pairs(raw_query)
    ]
    return "&".join(f"{key}={value}" for key, value in sorted(pairs) if key != "X-Amz-Signature")


def _encoded_once(raw: str) -> str:
    return quote(unquote_to_bytes(raw.encode("latin-1")), safe=SAFE)


def _raw_pairs(raw_query: str) -> list[tuple[str, str]]:
    return [(key, value) for key, _, value in (pair.partition("=") for pair in raw_query.split("&") if pair)]


def decoded_pairs(raw_query: str) -> list[tuple[str, str]]:
    """Decoded pairs; bytes that are not UTF-8 become replacement characters, which no signature parameter has."""
    decoded = (
        (unquote_to_bytes(key.encode("latin-1")), unquote_to_bytes(value.encode("latin-1")))
        for key, value in _raw_pairs(raw_query)
    )
    return [(key.decode(errors="replace"), value.decode(errors="replace")) for key, value in decoded]
