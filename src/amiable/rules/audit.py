"""Which calls the log is of, and what of a call it keeps.

    service                 logged
    ec2, iam, rbin, ssm     every action but Describe…, Get…, List…, and those that only ask
    ebs                     StartSnapshot, CompleteSnapshot: a disk's thousand blocks are one writing
    s3                      what makes, changes or removes a bucket or an object; an upload's parts are not seen until it is completed
    amiable                 every method but GET
    sts                     nothing: a session is sealed into its token, nothing is kept of it

Secrets are never kept, and neither is what is long.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from amiable.model import ids

READS: Final = ("Describe", "Get", "List", "Head")
ASKS_ONLY: Final = frozenset({"ConfirmProductInstance"})
EBS: Final = frozenset({"StartSnapshot", "CompleteSnapshot"})
S3: Final = frozenset(
    {
        *("CreateBucket", "DeleteBucket", "PutBucketAcl", "PutObject", "CopyObject", "CompleteMultipartUpload"),
        *("PutObjectAcl", "DeleteObject", "DeleteObjects"),
    }
)
SECRETS: Final = frozenset({"UserData", "UefiData", "UploadPolicy", "UploadPolicySignature", "PrivateKey", "Secret"})
PARAMETER: Final = "PutParameterRequest"
URL: Final = "Url"
"""How names of addresses end: one opens what it names to whoever reads it, where a password or a signature stands in it."""
_SECRET_ATTRIBUTES: Final = frozenset(name.lower() for name in SECRETS)
"""ModifyInstanceAttribute has a second spelling: the attribute's name as Attribute, what it is to be as Value."""
TEXT_CHARACTERS_MAX: Final = 512
PARAMETERS_CHARACTERS_MAX: Final = 8192
RESOURCES_MAX: Final = 100
NAMES_KEPT: Final = 4096
"""Of the spellings of parameters' names: there are fewer parameters, but a JSON body may say any name."""
NAMED: Final = frozenset(
    {
        *("Name", "Names", "Identifier", "ResourceArn", "ResourceId", "CertificateId", "Bucket", "Key", "Path"),
        *("RoleName", "InstanceProfileName", "AccountId", "UnitId"),
    }
)
"""Parameters that name what a call is about, where ids have no form of their own."""
RESOURCES: Final = (
    *(ids.AMI, ids.AKI, ids.ARI, ids.SNAPSHOT, ids.VOLUME, ids.INSTANCE, ids.KEY_PAIR, ids.LAUNCH_TEMPLATE),
    *(ids.IMPORT_SNAPSHOT_TASK, ids.BUNDLE_TASK, ids.IMAGE_USAGE_REPORT, ids.REPLACE_ROOT_VOLUME_TASK),
    *(ids.VPC, ids.SUBNET, ids.SECURITY_GROUP, ids.SECURITY_GROUP_RULE, ids.INTERNET_GATEWAY, ids.NETWORK_ACL),
    *(ids.ROUTE_TABLE, ids.ROUTE_TABLE_ASSOCIATION, ids.DHCP_OPTIONS, ids.NETWORK_INTERFACE),
    *(ids.NETWORK_INTERFACE_ATTACHMENT, ids.ADDRESS_ALLOCATION, ids.ADDRESS_ASSOCIATION),
    ids.INSTANCE_PROFILE_ASSOCIATION,
)
"""Prefixes of the ids that a line tells: all but a reservation's, which no call takes."""

_SIGNED = re.compile(r"(?<=://)[^/?#]*(?=@)|[?#].*", re.DOTALL)
_ID = re.compile(rf"(?:{'|'.join(RESOURCES)})-(?:[0-9a-f]{{8}}|[0-9a-f]{{17}})")


def is_logged(service: str, action: str) -> bool:
    """Whether the log has a line of such a call."""
    match service:
        case "ec2" | "iam" | "rbin" | "ssm":
            return not action.startswith(READS) and action not in ASKS_ONLY
        case "ebs":
            return action in EBS
        case "s3":
            return action in S3
        case "amiable":
            return not action.startswith("GET ")
        case _:
            return False


def parameters_of(request: object) -> dict[str, Any]:
    """What a typed request, or a JSON body, says: names as in the API, absent ones left out, secrets and length taken away."""
    built = msgspec.to_builtins(request, builtin_types=(bytes,))
    if not isinstance(built, Mapping):
        return {}
    kept = {_pascal(name): value for name, value in built.items() if value is not None}
    # An overwrite of a SecureString need not say that it is one: of a parameter's value only what names a resource is kept.
    is_parameter = type(request).__name__ == PARAMETER and not _ID.fullmatch(str(kept.get("Value")))
    is_secret = is_parameter or str(kept.get("Attribute")).lower() in _SECRET_ATTRIBUTES
    return {name: _keep(name, value, is_secret) for name, value in kept.items()}


def _keep(name: str, value: Any, is_secret: bool = False) -> Any:
    if name in SECRETS or (is_secret and name == "Value"):
        return "(not kept)"
    if isinstance(value, str):
        value = _SIGNED.sub("(not kept)", value) if name.endswith(URL) else value
        return value if len(value) <= TEXT_CHARACTERS_MAX else f"{value[:64]}… ({len(value)} characters)"
    if isinstance(value, list | tuple):
        return [_keep(name, each, is_secret) for each in value]
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    if isinstance(value, Mapping):
        inner = {_pascal(str(key)): each for key, each in value.items() if each is not None}
        return {key: _keep(key, each, is_secret) for key, each in inner.items()}
    return value


@lru_cache(NAMES_KEPT)
def _pascal(name: str) -> str:
    """``image_id`` as ``ImageId``; what is spelt so already stays."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def text_of(parameters: Mapping[str, Any]) -> str:
    """The parameters as JSON; of too many, how long they were."""
    text = msgspec.json.encode(parameters).decode()
    return text if len(text) <= PARAMETERS_CHARACTERS_MAX else f'{{"(not kept)":"{len(text)} characters"}}'


def resources_of(service: str, parameters: Mapping[str, Any]) -> list[str]:
    """What a call's parameters name: every id of EC2's form, elsewhere than in EC2 top-level names too, each once."""
    names: frozenset[str] = frozenset() if service in ("ec2", "ebs") else NAMED
    found: dict[str, None] = {}
    for name, value in parameters.items():
        for text in _texts(value):
            if name in names or _ID.fullmatch(text):
                found[text] = None
    return list(found)[:RESOURCES_MAX]


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple):
        return [text for each in value for text in _texts(each)]
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in _texts(each)]
    return []
