"""Whether a bundle may be written at a prefix: nothing of another bundle may lie there."""

from sqlalchemy import Connection

from amiable.database import bundle_tasks, objects
from amiable.model.errors import InvalidParameterValue


def check_prefix_free(c: Connection, bucket: str, prefix: str) -> None:
    """Refuses a prefix where a manifest or a part lies, or is about to be written."""
    task = bundle_tasks.live_task_at(c, bucket, prefix)
    if task is not None:
        raise _in_use(prefix, f"The bundle task {task.id} writes there.")
    check_key_free(c, bucket, f"{prefix}.manifest.xml")
    parts = f"{prefix}.part."
    found = objects.objects_from(c, bucket, first=parts, after="", before=f"{prefix}.part/", limit=1)
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
