"""``amiable bundle instance``, ``tasks`` and ``cancel``: the server bundles an instance's root volume into a bucket."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from cyclopts import Parameter

from amiable.cli.client import NothingNamed, client, session, wait_for
from amiable.cli.output import Output, say, show_one, show_rows
from amiable.model.errors import LocalRefusal

POLICY_HOURS: Final = 24
"""How long the policy lets the server write; large volumes take their time."""
WAIT_SECONDS_MAX: Final = 24 * 3600.0
ENDED: Final = ("complete", "failed")

TaskId = Annotated[str, Parameter(help="Bundle task id (bun-…).")]
Wait = Annotated[bool, Parameter(help="Wait until it is done.", negative=())]


def instance(
    instance: Annotated[str, Parameter(help="Instance id (i-…), running or stopped.")],
    /,
    *,
    bucket: Annotated[str, Parameter(name=["--bucket", "-b"], help="Bucket, made where it is not there.")],
    prefix: Annotated[str, Parameter(name=["--prefix", "-p"], help="Key of the manifest without .manifest.xml.")],
    wait: Wait = False,
    output: Output = "table",
) -> None:
    """Has the server bundle an instance's root volume into a bucket, in your name; the instance goes on."""
    ec2 = client("ec2")
    storage = storage_by_policy(session().get_credentials(), bucket, prefix, now=datetime.now(UTC))
    task = ec2.bundle_instance(InstanceId=instance, Storage={"S3": storage})["BundleTask"]
    if wait:
        task = wait_until_ended(ec2, task["BundleId"])
        if task["State"] == "failed":
            raise LocalRefusal(f"{task['BundleId']} failed: {error_of(task)}")
    show_one(flat(task), output, identifier="BundleId")
    if wait:
        say(f"next: aws ec2 register-image --name NAME --image-location {bucket}/{prefix}.manifest.xml")


def storage_by_policy(credentials: Any, bucket: str, prefix: str, *, now: datetime) -> dict[str, Any]:
    """``Storage.S3`` with a policy that lets its holder write this bundle and nothing else, signed by the caller's key."""
    if credentials is None:
        raise NothingNamed("no access key was found", hint='eval "$(amiable env)"')
    found = credentials.get_frozen_credentials()
    expires = now + timedelta(hours=POLICY_HOURS)
    conditions = [{"acl": "ec2-bundle-read"}, {"bucket": bucket}, ["starts-with", "$key", prefix]]
    policy = json.dumps({"conditions": conditions, "expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}).encode()
    digest = hmac.new(found.secret_key.encode(), base64.b64encode(policy), hashlib.sha1).digest()
    return {
        "Bucket": bucket,
        "Prefix": prefix,
        "AWSAccessKeyId": found.access_key,
        "UploadPolicy": policy,
        "UploadPolicySignature": base64.b64encode(digest).decode(),
    }


def wait_until_ended(ec2: Any, task_id: str) -> dict[str, Any]:
    """The task once it is complete or failed."""

    def look() -> dict[str, Any] | None:
        task: dict[str, Any] = ec2.describe_bundle_tasks(BundleIds=[task_id])["BundleTasks"][0]
        return task if task["State"] in ENDED else None

    return wait_for(f"{task_id} to end", look, WAIT_SECONDS_MAX)


def tasks(*, output: Output = "table") -> None:
    """Lists bundle tasks, oldest first."""
    found = [flat(task) for task in client("ec2").describe_bundle_tasks()["BundleTasks"]]
    columns = {"task": "BundleId", "instance": "InstanceId", "state": "State", "progress": "Progress"}
    columns |= {"manifest": "Manifest", "started": "StartTime", "error": "Error"}
    show_rows(found, columns, output, identifier="BundleId")


def cancel(task: TaskId, /, *, wait: Wait = False, output: Output = "table") -> None:
    """Cancels a bundle task: what it had written is removed, its instance stays as it is."""
    ec2 = client("ec2")
    found = ec2.cancel_bundle_task(BundleId=task)["BundleTask"]
    if wait:
        found = wait_until_ended(ec2, task)
    show_one(flat(found), output, identifier="BundleId")


def flat(task: dict[str, Any]) -> dict[str, Any]:
    """The task in one row."""
    s3 = task["Storage"]["S3"]
    row = {key: task.get(key) for key in ("BundleId", "InstanceId", "State", "Progress", "StartTime", "UpdateTime")}
    return row | {"Manifest": f"{s3['Bucket']}/{s3['Prefix']}.manifest.xml", "Error": error_of(task)}


def error_of(task: dict[str, Any]) -> str:
    """Why the task failed; nothing where it did not."""
    error = task.get("BundleTaskError")
    return f"{error.get('Code')}: {error.get('Message')}" if error else ""
