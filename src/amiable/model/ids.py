"""Identifiers: EC2's prefixes with 8 (old) or 17 (new) hex digits; all that are made here have 17.

Randomness is a parameter: ``mint(AMI, entropy)`` is a function of its arguments.
"""

import base64
import re
from typing import Final

AMI: Final = "ami"
AKI: Final = "aki"
ARI: Final = "ari"
SNAPSHOT: Final = "snap"
VOLUME: Final = "vol"
INSTANCE: Final = "i"
RESERVATION: Final = "r"
KEY_PAIR: Final = "key"
IMPORT_SNAPSHOT_TASK: Final = "import-snap"
BUNDLE_TASK: Final = "bun"
IMAGE_USAGE_REPORT: Final = "amiur"
VPC: Final = "vpc"
SUBNET: Final = "subnet"
SECURITY_GROUP: Final = "sg"
NETWORK_INTERFACE: Final = "eni"
NETWORK_INTERFACE_ATTACHMENT: Final = "eni-attach"
SECURITY_GROUP_RULE: Final = "sgr"
INTERNET_GATEWAY: Final = "igw"
ROUTE_TABLE: Final = "rtb"
ROUTE_TABLE_ASSOCIATION: Final = "rtbassoc"
NETWORK_ACL: Final = "acl"
DHCP_OPTIONS: Final = "dopt"
ADDRESS_ALLOCATION: Final = "eipalloc"
ADDRESS_ASSOCIATION: Final = "eipassoc"
LAUNCH_TEMPLATE: Final = "lt"
INSTANCE_PROFILE_ASSOCIATION: Final = "iip-assoc"
REPLACE_ROOT_VOLUME_TASK: Final = "replacevol"

ENTROPY_BYTES: Final = 9

_HEX = re.compile(r"(?:[0-9a-f]{8}|[0-9a-f]{17})")


def mint(prefix: str, entropy: bytes) -> str:
    """``prefix-`` and 17 hex digits taken from 9 bytes of ``entropy``."""
    assert len(entropy) == ENTROPY_BYTES
    return f"{prefix}-{entropy.hex()[:17]}"


def is_well_formed(prefix: str, identifier: str) -> bool:
    """Whether ``identifier`` is ``prefix-`` and 8 or 17 lower-case hex digits."""
    head, dash, tail = identifier.rpartition("-")
    return dash == "-" and head == prefix and _HEX.fullmatch(tail) is not None


def prefix_of(identifier: str) -> str:
    """What stands before the last dash; ``''`` without one."""
    return identifier.rpartition("-")[0]


_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(milliseconds: int, entropy: bytes) -> str:
    """A 26-character ULID: 48 bits of time, 80 of ``entropy`` (10 bytes); sorts by time."""
    assert len(entropy) == 10
    number = (milliseconds << 80) | int.from_bytes(entropy, "big")
    return "".join(_CROCKFORD[(number >> (5 * place)) & 31] for place in reversed(range(26)))


def is_account(identifier: str) -> bool:
    """Whether ``identifier`` is an account number: exactly 12 digits."""
    return len(identifier) == 12 and identifier.isascii() and identifier.isdigit()


IAM_ENTROPY_BYTES: Final = 11


def mint_iam(prefix: str, entropy: bytes) -> str:
    """IAM's unique id: ``prefix`` (``AROA`` …) and 17 capitals and digits taken from 11 bytes of ``entropy``."""
    assert len(entropy) == IAM_ENTROPY_BYTES
    return prefix + base64.b32encode(entropy).decode()[:17]
