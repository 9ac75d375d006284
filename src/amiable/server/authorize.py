"""Before an operation: whether the caller's role may do it.  A caller without a role speaks for its account, and is not asked.

Every handler in ``AUTHORIZING`` asks here; ``server/app`` refuses a role's session at any other.
"""

from typing import Final
from urllib.parse import unquote

import msgspec

from amiable.database import roles
from amiable.model.principal import Principal
from amiable.rules.policy_resources import (
    Home,
    ebs_resources,
    ec2_resources,
    rbin_resources,
    ssm_resources,
    tagged_at_birth,
)
from amiable.server.s3_request import Call
from amiable.services import Services
from amiable.services.authorization import check_allowed

AUTHORIZING: Final = frozenset({"ec2", "sts", "iam", "ebs", "rbin", "s3", "ssm", "amiable"})
FREE: Final = ("GetCallerIdentity", "AssumeRole", "GetSessionToken")
"""Of STS: whoever has credentials may ask who it is; the others decide themselves."""
S3_ACTIONS: Final[dict[tuple[str, str, str], str]] = {
    ("GET", "service", ""): "ListAllMyBuckets",
    ("PUT", "bucket", ""): "CreateBucket",
    ("HEAD", "bucket", ""): "ListBucket",
    ("DELETE", "bucket", ""): "DeleteBucket",
    ("GET", "bucket", ""): "ListBucket",
    ("GET", "bucket", "list-type"): "ListBucket",
    ("GET", "bucket", "location"): "GetBucketLocation",
    ("GET", "bucket", "acl"): "GetBucketAcl",
    ("PUT", "bucket", "acl"): "PutBucketAcl",
    ("GET", "bucket", "uploads"): "ListBucketMultipartUploads",
    ("PUT", "object", ""): "PutObject",
    ("GET", "object", ""): "GetObject",
    ("HEAD", "object", ""): "GetObject",
    ("DELETE", "object", ""): "DeleteObject",
    ("GET", "object", "acl"): "GetObjectAcl",
    ("PUT", "object", "acl"): "PutObjectAcl",
    ("POST", "object", "uploads"): "PutObject",
    ("PUT", "object", "uploadId"): "PutObject",
    ("POST", "object", "uploadId"): "PutObject",
    ("DELETE", "object", "uploadId"): "AbortMultipartUpload",
    ("GET", "object", "uploadId"): "ListMultipartUploadParts",
}
"""Of ``server/s3.ROUTES``; who deletes many objects is asked about each (``check_s3_object``)."""


def check_ec2(principal: Principal, action: str, request: msgspec.Struct) -> None:
    """Refuses with UnauthorizedOperation."""
    if principal.role is not None:
        check_allowed(principal, f"ec2:{action}", ec2_resources(_home(principal), action, request))
        check_allowed(principal, "ec2:CreateTags", tagged_at_birth(_home(principal), request))


def check_query(services: Services, principal: Principal, service: str, action: str, request: msgspec.Struct) -> None:
    """Refuses an operation of IAM with AccessDenied; a role and a profile are named with their paths."""
    if principal.role is None or (service == "sts" and action in FREE):
        return
    resources = []
    with services.database.read() as c:
        role_name, profile_name = (getattr(request, name, None) for name in ("role_name", "instance_profile_name"))
        path = getattr(request, "path", None) or "/"
        prefix = f"arn:aws:iam::{principal.account_id}"
        if role_name is not None:
            role = roles.find_role(c, principal.account_id, role_name)
            resources.append(role.arn if role is not None else f"{prefix}:role{path}{role_name}")
        if profile_name is not None:
            profile = roles.find_profile(c, principal.account_id, profile_name)
            resources.append(profile.arn if profile is not None else f"{prefix}:instance-profile{path}{profile_name}")
    check_allowed(principal, f"{service}:{action}", resources or ("*",))


def check_ssm(principal: Principal, action: str, request: msgspec.Struct) -> None:
    """Refuses with AccessDeniedException."""
    if principal.role is not None:
        check_allowed(principal, f"ssm:{action}", ssm_resources(_home(principal), request))


def check_rest_json(principal: Principal, service: str, action: str, request: msgspec.Struct) -> None:
    """Refuses an operation of EBS direct or the Recycle Bin with AccessDeniedException."""
    if principal.role is not None:
        resources = {"ebs": ebs_resources, "rbin": rbin_resources}[service]
        check_allowed(principal, f"{service}:{action}", resources(_home(principal), request))


def check_s3(call: Call, route: tuple[str, str, str]) -> None:
    """Refuses with AccessDenied; of what is copied ``copy_source`` asks, of many keys to delete the handler."""
    principal = call.request.principal
    if principal.role is None or route == ("POST", "bucket", "delete"):
        return
    name = f"{call.bucket}/{call.key}" if call.key else call.bucket
    action = S3_ACTIONS[route]
    check_allowed(principal, f"s3:{action}", (f"arn:aws:s3:::{name}" if name else "*",))


def check_s3_object(principal: Principal, action: str, name: str) -> None:
    """Refuses what is done to the object ``bucket/key``."""
    check_allowed(principal, f"s3:{action}", (f"arn:aws:s3:::{name}",))


def check_amiable(principal: Principal, method: str, path: str) -> None:
    """Refuses a request of Amiable's own API: its action is ``amiable:GET`` …, its resource the path, as it is read."""
    if principal.role is not None:
        check_allowed(principal, f"amiable:{method}", (_home(principal).arn("amiable", unquote(path).lstrip("/")),))


def _home(principal: Principal) -> Home:
    return Home(principal.account_id, principal.region)
