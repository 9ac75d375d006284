"""Whether a bundle may be written at a prefix: the upload policy allows it, and nothing of another bundle lies there."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from amiable.bundle.assurance import sidecar_name
from amiable.database import bundle_tasks, objects
from amiable.model.errors import InvalidParameterValue
from amiable.rules import post_policy
from amiable.rules.post_policy import Policy

CONTENT_TYPE: Final = "application/octet-stream"


def check_upload(policy: Policy, key: str, *, bucket: str, acl: str, now: datetime) -> None:
    """Refuses, as S3 would, the upload form of one object; its content type is a field only where the policy speaks of it."""
    fields = {"bucket": bucket, "key": key, "acl": acl}
    if any(condition.field == "content-type" for condition in policy.conditions):
        fields["content-type"] = CONTENT_TYPE
    post_policy.check(policy, fields, now)


def check_prefix_free(c: Connection, bucket: str, prefix: str) -> None:
    """Refuses a prefix where a manifest, its assurance or a part lies, or is about to be written."""
    task = bundle_tasks.live_task_at(c, bucket, prefix)
    if task is not None:
        raise _in_use(prefix, f"The bundle task {task.id} writes there.")
    for key in (f"{prefix}.manifest.xml", sidecar_name(f"{prefix}.manifest.xml")):
        check_key_free(c, bucket, key)
    parts = f"{prefix}.part."
    found = objects.objects_in(c, bucket, objects.KeyRange(parts, before=f"{prefix}.part/"), limit=1)
    if found:
        raise _in_use(prefix, f"There is an object s3://{bucket}/{found[0].key} already.")


def check_key_free(c: Connection, bucket: str, key: str) -> None:
    """Refuses a key that an object has."""
    if objects.find_object(c, bucket, key) is not None:
        raise _in_use(key, f"There is an object s3://{bucket}/{key} already.")


def _in_use(value: str, why: str) -> InvalidParameterValue:
    return InvalidParameterValue(
        parameter="Storage.S3.Prefix", value=value, why=why, hint="delete the old bundle, or choose another prefix"
    )
