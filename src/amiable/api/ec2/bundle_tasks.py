"""BundleInstance, DescribeBundleTasks and CancelBundleTask: the server bundles an instance's root volume into a bucket.

The caller shows by an upload policy, signed with an access key, that the server may write there in that key's name; it need not be
the caller's own key.  On EC2 this was for instance-store Windows instances; here, as on Eucalyptus, any instance may be bundled that
is running, stopped or stopping (see docs/decisions).
"""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from amiable.api.accounts import secret_of
from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.instance_ids import find_named
from amiable.api.ec2.tags import parse_filters
from amiable.api.s3.buckets import create_bucket, writable
from amiable.bundle.parts import NAME
from amiable.database import accounts, buckets, bundle_tasks, jobs
from amiable.model import ids
from amiable.model.bundle_task import BundleState, BundleTask
from amiable.model.errors import (
    AuthFailure,
    IncorrectInstanceState,
    InvalidParameterValue,
    MissingParameter,
    NotFound,
    S3Refusal,
)
from amiable.model.instance import Instance, State
from amiable.model.instance_errors import BundlingInProgress
from amiable.model.principal import Principal
from amiable.rules import bundle_task, filters
from amiable.rules.acl import GRANTS, SERVICE, Holding, Permission, may
from amiable.rules.bucket import check_key
from amiable.rules.bundle_task import Event
from amiable.rules.post_policy import read_policy, signature_v2
from amiable.services import Services
from amiable.services.bundle_upload import check_prefix_free, check_upload
from amiable.services.signing_keys import signing_pair
from amiable.wire.generated import ec2
from amiable.wire.scalars import write_timestamp

JOB: Final = "bundle-instance"
ACL: Final = "ec2-bundle-read"
"""What EC2 writes bundles with, where the policy leaves a choice."""
BUNDLED: Final = (State.RUNNING, State.STOPPED, State.STOPPING)
NEEDED: Final = ("bucket", "acl", "key")
"""Fields that a policy must have a condition on, as S3 demands it of a form's fields."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to, in whose name, and as which policy lets it; verified."""

    bucket: str
    prefix: str
    acl: str
    owner: Principal
    policy: str


def bundle_instance(
    services: Services, principal: Principal, request: ec2.BundleInstanceRequest
) -> ec2.BundleInstanceResult:
    """Starts a bundle task; its manifest is BUCKET/PREFIX.manifest.xml once its state is ``complete``."""
    target = _target(services, principal, request.storage)
    signing_pair(services, principal.account_id)
    with services.database.read() as c:
        _bundled_instance(c, services, principal, request.instance_id)
        is_there = buckets.find_bucket(c, target.bucket) is not None
    if not is_there and not request.dry_run:
        _make_bucket(services, target)
    with services.database.write() as c:
        instance = _bundled_instance(c, services, principal, request.instance_id)
        if is_there or not request.dry_run:
            _check_writable(c, target)
            check_prefix_free(c, target.bucket, target.prefix)
        raise_if_dry_run(request)
        task = _task(services, principal, instance, target)
        bundle_tasks.insert_task(c, task)
        data = {"task_id": task.id, "policy": target.policy, "access_key_id": target.owner.access_key_id}
        jobs.enqueue(c, jobs.NewJob(JOB, _job_key(task), data, instance.host), now=services.now())
    services.wake()
    return ec2.BundleInstanceResult(bundle_task=_view(task))


def _task(services: Services, principal: Principal, instance: Instance, target: Target) -> BundleTask:
    now = services.now()
    return BundleTask(
        id=services.mint(ids.BUNDLE_TASK),
        account_id=principal.account_id,
        region=principal.region,
        instance_id=instance.id,
        state=BundleState.PENDING,
        progress_percent=0,
        bucket=target.bucket,
        prefix=target.prefix,
        object_owner_id=target.owner.account_id,
        acl=target.acl,
        error=None,
        started_at=now,
        updated_at=now,
    )


def _job_key(task: BundleTask) -> str:
    return f"{task.id}:{JOB}"


def _bundled_instance(c: Connection, services: Services, principal: Principal, instance_id: str) -> Instance:
    """The caller's instance; refused in a state without a disk at rest or a machine, and while another task is at it."""
    (instance,) = find_named(c, principal, [instance_id], now=services.now())
    if instance.state not in BUNDLED:
        raise IncorrectInstanceState(instance_id=instance.id, verb="bundled")
    live = bundle_tasks.live_task_of(c, instance.id)
    if live is not None:
        raise BundlingInProgress(instance_id=instance.id, bundle_id=live.id, state=live.state)
    return instance


# ── where to, and by whose leave ────────────────────────────────────────────────────────────────────────────────────────


def _target(services: Services, principal: Principal, storage: ec2.Storage) -> Target:
    """What Storage.S3 says, its policy read, its signature verified, and its conditions tried on what will be written."""
    s3 = storage.s3
    given = {
        "Bucket": s3 and s3.bucket,
        "Prefix": s3 and s3.prefix,
        "AWSAccessKeyId": s3 and s3.aws_access_key_id,
        "UploadPolicy": s3 and s3.upload_policy,
        "UploadPolicySignature": s3 and s3.upload_policy_signature,
    }
    missing = next((name for name, value in given.items() if not value), None)
    if missing is not None:
        raise MissingParameter(parameter=f"Storage.S3.{missing}")
    assert s3 is not None and s3.bucket and s3.prefix and s3.aws_access_key_id
    assert s3.upload_policy and s3.upload_policy_signature
    bucket, prefix = s3.bucket, s3.prefix
    _check_prefix(prefix)
    encoded = base64.b64encode(s3.upload_policy).decode()
    owner = _owner(services, principal, s3.aws_access_key_id, encoded=encoded, signature=s3.upload_policy_signature)
    return Target(bucket, prefix, _acl(services, bucket, prefix, encoded), owner, encoded)


def _check_prefix(prefix: str) -> None:
    if not NAME.fullmatch(prefix.rpartition("/")[2]):
        raise InvalidParameterValue(
            parameter="Storage.S3.Prefix",
            value=prefix[:200],
            why="After its last slash it is the bundle's name: at most 100 letters, digits, '.', '_' and '-', the first no '.' or '-'.",
        )
    try:
        check_key(f"{prefix}.manifest.xml")
    except S3Refusal as refusal:
        raise InvalidParameterValue(parameter="Storage.S3.Prefix", value=prefix[:200], why=refusal.message) from None


def _owner(services: Services, principal: Principal, key_id: str, *, encoded: str, signature: str) -> Principal:
    """For whom the policy speaks: the account of the access key that signed it."""
    with services.database.read() as c:
        key = accounts.find_access_key(c, key_id)
    if key is None or key.state != "active":
        raise AuthFailure(f"The access key {key_id[:40]} (Storage.S3.AWSAccessKeyId) is unknown or not active.")
    if not hmac.compare_digest(signature_v2(secret_of(services, key), encoded).encode(), signature.strip().encode()):
        raise AuthFailure(
            "The upload policy's signature does not match: it is base64 of the HMAC-SHA1 of the policy's base64 text, "
            "with the secret of the access key that Storage.S3.AWSAccessKeyId names."
        )
    return Principal(key.account_id, key.id, principal.region, key.is_administrator)


def _acl(services: Services, bucket: str, prefix: str, encoded: str) -> str:
    """The canned ACL that the policy asks for, once it allows what will be written; the image service must be able to read."""
    try:
        policy = read_policy(encoded)
        missing = next((name for name in NEEDED if all(each.field != name for each in policy.conditions)), None)
        if missing is not None:
            raise _unusable(f"It has no condition on {missing!r}.")
        named = (each.value for each in policy.conditions if (each.field, each.operator) == ("acl", "eq"))
        acl = next(named, ACL)
        for key in (f"{prefix}.manifest.xml", f"{prefix}.part.00"):
            check_upload(policy, key, bucket=bucket, acl=acl, now=services.now())
    except S3Refusal as refusal:
        if refusal.code == "AccessDenied":
            raise AuthFailure(f"The upload policy does not allow it. {refusal.message}") from None
        raise _unusable(refusal.message) from None
    if acl not in GRANTS or not may(SERVICE, Permission.READ, Holding("", acl, "")):
        raise _unusable(f"Its ACL {acl[:40]!r} does not let the image service read the bundle; {ACL!r} does.")
    return acl


def _unusable(why: str) -> InvalidParameterValue:
    return InvalidParameterValue(f"The upload policy (Storage.S3.UploadPolicy) cannot be used. {why}")


def _make_bucket(services: Services, target: Target) -> None:
    """Makes the bucket that is not there, for the account whose key signed the policy, as EC2 does."""
    try:
        create_bucket(services, target.owner, target.bucket)
    except S3Refusal as refusal:
        raise InvalidParameterValue(
            parameter="Storage.S3.Bucket", value=target.bucket[:200], why=refusal.message
        ) from None


def _check_writable(c: Connection, target: Target) -> None:
    try:
        writable(c, target.owner, target.bucket)
    except S3Refusal:
        raise AuthFailure(
            f"The account {target.owner.account_id}, whose key signed the upload policy, may not write into the bucket {target.bucket}."
        ) from None


# ── tasks ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


FIELDS: Final[Mapping[str, filters.Field[BundleTask]]] = {
    "bundle-id": lambda task: (task.id,),
    "error-code": lambda task: (task.error.code if task.error else None,),
    "error-message": lambda task: (task.error.message if task.error else None,),
    "instance-id": lambda task: (task.instance_id,),
    "progress": lambda task: (_progress(task),),
    "s3-bucket": lambda task: (task.bucket,),
    "s3-prefix": lambda task: (task.prefix,),
    "start-time": lambda task: (write_timestamp(task.started_at),),
    "state": lambda task: (task.state,),
    "update-time": lambda task: (write_timestamp(task.updated_at),),
}


def describe_bundle_tasks(
    services: Services, principal: Principal, request: ec2.DescribeBundleTasksRequest
) -> ec2.DescribeBundleTasksResult:
    """The account's bundle tasks, oldest first; all of the ids named must be there."""
    wanted = filters.predicate(parse_filters(request.filters), FIELDS)
    named = list(dict.fromkeys(request.bundle_ids or []))
    raise_if_dry_run(request)
    with services.database.read() as c:
        found = bundle_tasks.list_tasks(c, principal.account_id, principal.region, ids=named)
    missing = [task_id for task_id in named if task_id not in {task.id for task in found}]
    if missing:
        raise NotFound("bundle_task", missing)
    return ec2.DescribeBundleTasksResult(bundle_tasks=[_view(task) for task in found if wanted(task)])


def cancel_bundle_task(
    services: Services, principal: Principal, request: ec2.CancelBundleTaskRequest
) -> ec2.CancelBundleTaskResult:
    """Asks the task to end: what it wrote is removed, and it becomes ``failed``; the instance stays as it is."""
    with services.database.write() as c:
        found = bundle_tasks.list_tasks(c, principal.account_id, principal.region, ids=[request.bundle_id])
        if not found:
            raise NotFound("bundle_task", [request.bundle_id])
        bundle_task.step(found[0], Event.CANCEL_ASKED)
        raise_if_dry_run(request)
        task = bundle_tasks.move(c, found[0], Event.CANCEL_ASKED, now=services.now())
        jobs.ask_to_end(c, _job_key(task))
    services.wake()
    return ec2.CancelBundleTaskResult(bundle_task=_view(task))


def _view(task: BundleTask) -> ec2.BundleTask:
    """The task as the wire says it; the policy, which lets its holder write, is not told again."""
    error = None if task.error is None else ec2.BundleTaskError(code=task.error.code, message=task.error.message)
    return ec2.BundleTask(
        instance_id=task.instance_id,
        bundle_id=task.id,
        state=task.state.value,
        start_time=task.started_at,
        update_time=task.updated_at,
        storage=ec2.Storage(s3=ec2.S3Storage(bucket=task.bucket, prefix=task.prefix)),
        progress=_progress(task),
        bundle_task_error=error,
    )


def _progress(task: BundleTask) -> str:
    return f"{task.progress_percent}%"
