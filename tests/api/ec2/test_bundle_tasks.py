"""BundleInstance, DescribeBundleTasks and CancelBundleTask in process: who may, where to, by whose leave; no disk is read."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from amiable.api.ec2.bundle_tasks import bundle_instance, cancel_bundle_task, describe_bundle_tasks
from amiable.api.ec2.instance_states import start_instances
from amiable.database import accounts, buckets, bundle_tasks, instances, jobs
from amiable.model.bundle_task import BundleState, BundleTask, TaskError
from amiable.model.errors import (
    AuthFailure,
    DryRunOperation,
    IncorrectInstanceState,
    IncorrectState,
    InvalidParameterValue,
    MissingParameter,
    NotFound,
)
from amiable.model.instance_errors import BundlingInProgress
from amiable.rules.bundle_task import Event as TaskEvent
from amiable.rules.lifecycle import Event
from amiable.services import Services
from amiable.wire.generated import ec2
from tests.api.ec2.launching import make_image, run_one
from tests.support.buckets import make_bucket, put
from tests.support.policies import make_policy, sign
from tests.support.services import make_account


@pytest.fixture
def owner(services: Services) -> "Owner":
    return Owner(services)


class Owner:
    """An account with its key, a bucket and a running instance."""

    def __init__(self, services: Services, name: str = "owner") -> None:
        self.services = services
        self.account, self.principal = make_account(services, name)
        self.instance_id = run_one(services, self.principal, make_image(services, self.principal))
        self.move(Event.BOOTED)

    def move(self, *events: Event) -> None:
        with self.services.database.write() as c:
            for event in events:
                instances.set_state(c, self.instance_id, event, now=self.services.now())

    def storage(self, policy: bytes | None = None, **changes: Any) -> ec2.Storage:
        policy = make_policy("a-bucket", "images/one") if policy is None else policy
        values: dict[str, Any] = {
            "bucket": "a-bucket",
            "prefix": "images/one",
            "aws_access_key_id": self.account.access_key_id,
            "upload_policy": policy,
            "upload_policy_signature": sign(policy, self.account.secret),
        }
        return ec2.Storage(s3=ec2.S3Storage(**{**values, **changes}))

    def bundle(self, storage: ec2.Storage | None = None, **changes: Any) -> ec2.BundleTask:
        request = ec2.BundleInstanceRequest(instance_id=self.instance_id, storage=storage or self.storage(), **changes)
        task = bundle_instance(self.services, self.principal, request).bundle_task
        assert task is not None
        return task

    def tasks(self, **changes: Any) -> list[ec2.BundleTask]:
        request = ec2.DescribeBundleTasksRequest(**changes)
        found = describe_bundle_tasks(self.services, self.principal, request).bundle_tasks
        assert found is not None
        return found

    def move_task(self, *events: TaskEvent, error: TaskError | None = None) -> BundleTask:
        with self.services.database.write() as c:
            (task,) = bundle_tasks.list_tasks(c, self.principal.account_id, self.principal.region)
            for event in events:
                task = bundle_tasks.move(c, task, event, now=self.services.now(), error=error)
        return task


def policy_of(*conditions: Any, expiration: str = "2100-01-01T00:00:00Z") -> bytes:
    return json.dumps({"expiration": expiration, "conditions": list(conditions)}).encode()


KEYS = ["starts-with", "$key", "images/one"]


def test_a_task_begins_pending_and_makes_the_bucket_that_is_not_there(owner: Owner) -> None:
    task = owner.bundle()
    assert task.bundle_id is not None and task.bundle_id.startswith("bun-")
    assert (task.state, task.progress, task.instance_id) == ("pending", "0%", owner.instance_id)
    assert task.storage == ec2.Storage(s3=ec2.S3Storage(bucket="a-bucket", prefix="images/one"))
    assert owner.tasks() == [task]
    with owner.services.database.read() as c:
        bucket = buckets.find_bucket(c, "a-bucket")
        assert jobs.is_live(c, f"{task.bundle_id}:bundle-instance")
    assert bucket is not None and bucket.account_id == owner.principal.account_id


def test_a_dry_run_makes_nothing(owner: Owner) -> None:
    with pytest.raises(DryRunOperation):
        owner.bundle(dry_run=True)
    assert owner.tasks() == []
    with owner.services.database.read() as c:
        assert buckets.find_bucket(c, "a-bucket") is None


@pytest.mark.parametrize("name", ["bucket", "prefix", "aws_access_key_id", "upload_policy", "upload_policy_signature"])
def test_every_member_of_the_storage_is_needed(owner: Owner, name: str) -> None:
    with pytest.raises(MissingParameter, match=r"Storage\.S3"):
        owner.bundle(owner.storage(**{name: None}))


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (b"not JSON", "it is not JSON"),
        (b"[]", "expecting an object"),
        (policy_of({"bucket": "a-bucket"}, KEYS), "no condition on 'acl'"),
        (policy_of({"acl": "ec2-bundle-read"}, KEYS), "no condition on 'bucket'"),
        (policy_of({"acl": "ec2-bundle-read"}, {"bucket": "a-bucket"}), "no condition on 'key'"),
        (policy_of({"acl": "private"}, {"bucket": "a-bucket"}, KEYS), "ACL 'private' does not let the image service"),
        (policy_of({"acl": "no-such"}, {"bucket": "a-bucket"}, KEYS), "ACL 'no-such' does not let"),
        (policy_of({"acl": 1}, {"bucket": "a-bucket"}, KEYS), "not a condition"),
        (policy_of({"acl": "ec2-bundle-read"}, {"bucket": "a-bucket"}, KEYS, expiration="soon"), "expiration"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_by_name(owner: Owner, policy: bytes, words: str) -> None:
    with pytest.raises(InvalidParameterValue, match=words):
        owner.bundle(owner.storage(policy))


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (make_policy("a-bucket", "images/one", hours=-1), "expired"),
        (make_policy("other-bucket", "images/one"), r"\$bucket"),
        (make_policy("a-bucket", "images/two"), r"\$key"),
        (make_policy("a-bucket", "images/one", more=({"x-amz-meta-owner": "me"},)), "x-amz-meta-owner"),
    ],
    ids=["expired", "bucket", "key", "metadata"],  # a policy has its time in it: the tests' names would change with it
)
def test_a_policy_that_does_not_allow_it_is_refused_by_its_condition(owner: Owner, policy: bytes, words: str) -> None:
    with pytest.raises(AuthFailure, match=words):
        owner.bundle(owner.storage(policy))


def test_the_policys_acl_and_content_type_are_taken(owner: Owner) -> None:
    owner.bundle(
        owner.storage(
            make_policy("a-bucket", "images/one", acl="aws-exec-read", more=(["starts-with", "$Content-Type", ""],))
        )
    )
    with owner.services.database.read() as c:
        (task,) = bundle_tasks.list_tasks(c, owner.principal.account_id, owner.principal.region)
    assert task.acl == "aws-exec-read"


def test_a_wrong_signature_and_an_unknown_or_inactive_key_are_refused(owner: Owner) -> None:
    policy = make_policy("a-bucket", "images/one")
    wrong = base64.b64encode(bytes(20)).decode()
    for signature in (wrong, "", "é", sign(policy + b" ", owner.account.secret)):
        with pytest.raises((AuthFailure, MissingParameter)):
            owner.bundle(owner.storage(policy, upload_policy_signature=signature))
    with pytest.raises(AuthFailure, match="unknown"):
        owner.bundle(owner.storage(policy, aws_access_key_id="AKIANOBODY"))
    with owner.services.database.write() as c:
        accounts.set_access_key_state(
            c, account_id=owner.principal.account_id, key_id=owner.account.access_key_id, state="inactive"
        )
    with pytest.raises(AuthFailure, match="not active"):
        owner.bundle(owner.storage(policy))


def test_another_accounts_bucket_needs_that_accounts_policy(owner: Owner) -> None:
    other = Owner(owner.services, "other")
    make_bucket(owner.services, other.principal)
    with pytest.raises(AuthFailure, match="may not write into the bucket a-bucket"):
        owner.bundle()
    owner.bundle(other.storage())
    with owner.services.database.read() as c:
        (task,) = bundle_tasks.list_tasks(c, owner.principal.account_id, owner.principal.region)
    assert task.object_owner_id == other.principal.account_id
    assert other.tasks() == []


@pytest.mark.parametrize("key", ["images/one.manifest.xml", "images/one.part.07", "images/one.assurance.json"])
def test_a_prefix_in_use_is_refused(owner: Owner, key: str) -> None:
    make_bucket(owner.services, owner.principal)
    put(owner.services, owner.principal, "a-bucket", "images/one.txt", b"no part of a bundle")
    put(owner.services, owner.principal, "a-bucket", key, b"x")
    with pytest.raises(InvalidParameterValue, match=f"There is an object s3://a-bucket/{key} already"):
        owner.bundle()


@pytest.mark.parametrize("prefix", ["images/", "images/.one", "images/ü", "a b"])
def test_a_prefix_that_names_no_bundle_is_refused(owner: Owner, prefix: str) -> None:
    with pytest.raises(InvalidParameterValue, match=r"Storage\.S3\.Prefix"):
        owner.bundle(owner.storage(make_policy("a-bucket", prefix), prefix=prefix))


def test_an_instance_has_one_task_at_a_time_and_a_prefix_one_writer(owner: Owner) -> None:
    first = owner.bundle()
    with pytest.raises(BundlingInProgress, match=first.bundle_id):
        owner.bundle(owner.storage(make_policy("a-bucket", "images/two"), prefix="images/two"))
    other = Owner(owner.services, "other")
    with pytest.raises(InvalidParameterValue, match=f"{first.bundle_id} writes there"):
        other.bundle(owner.storage())
    owner.move_task(TaskEvent.FAILED, error=TaskError("Server.InternalError", "words"))
    assert owner.bundle().state == "pending"


def test_only_ones_own_instance_that_runs_or_is_stopped_is_bundled(owner: Owner) -> None:
    other = Owner(owner.services, "other")
    other.instance_id = owner.instance_id
    with pytest.raises(NotFound):
        other.bundle()
    owner.move(Event.TERMINATE_ASKED)
    with pytest.raises(IncorrectInstanceState, match="bundled"):
        owner.bundle()


def test_a_stopped_instance_does_not_start_while_it_is_bundled(owner: Owner) -> None:
    owner.move(Event.STOP_ASKED, Event.STOPPED)
    task = owner.bundle()
    request = ec2.StartInstancesRequest(instance_ids=[owner.instance_id])
    with pytest.raises(IncorrectInstanceState, match=task.bundle_id):
        start_instances(owner.services, owner.principal, request)
    owner.move_task(TaskEvent.FAILED, error=TaskError("Server.InternalError", "words"))
    assert start_instances(owner.services, owner.principal, request).starting_instances


def test_an_account_whose_certificate_is_not_enrolled_is_told_so(owner: Owner) -> None:
    (owner.services.data / "accounts" / owner.principal.account_id / "signing.pem").write_text("another")
    with pytest.raises(InvalidParameterValue, match="cannot sign"):
        owner.bundle()


def test_every_filter_finds_its_task_and_no_other(owner: Owner) -> None:
    owner.bundle()
    task = owner.move_task(TaskEvent.FAILED, error=TaskError("Server.InternalError", "out of words"))
    wanted = {
        "bundle-id": task.id,
        "error-code": "Server.InternalError",
        "error-message": "out of*",
        "instance-id": owner.instance_id,
        "progress": "0%",
        "s3-bucket": "a-bucket",
        "s3-prefix": "images/*",
        "start-time": f"{task.started_at:%Y-%m-%dT%H:%M:%S}.{task.started_at.microsecond // 1000:03d}Z",
        "state": "failed",
        "update-time": f"{task.updated_at:%Y-%m-%dT%H:%M:%S}.*",
    }
    for name, value in wanted.items():
        assert len(owner.tasks(filters=[ec2.Filter(name=name, values=[value])])) == 1, name
        assert owner.tasks(filters=[ec2.Filter(name=name, values=["other"])]) == [], name
    with pytest.raises(InvalidParameterValue, match="tag-key"):
        owner.tasks(filters=[ec2.Filter(name="tag-key", values=["x"])])


def test_a_task_that_is_not_there_or_anothers_is_not_found(owner: Owner) -> None:
    task = owner.bundle()
    other = Owner(owner.services, "other")
    for task_id in ("bun-0123456789abcdef0", "nonsense", task.bundle_id):
        assert task_id is not None
        with pytest.raises(NotFound) as refused:
            other.tasks(bundle_ids=[task_id])
        assert refused.value.code == "InvalidBundleID.NotFound"
        with pytest.raises(NotFound):
            cancel_bundle_task(other.services, other.principal, ec2.CancelBundleTaskRequest(bundle_id=task_id))


def test_a_live_task_is_cancelled_and_an_ended_one_is_not(owner: Owner) -> None:
    task = owner.bundle()
    assert task.bundle_id is not None
    request = ec2.CancelBundleTaskRequest(bundle_id=task.bundle_id)
    with pytest.raises(DryRunOperation):
        cancel_bundle_task(
            owner.services, owner.principal, ec2.CancelBundleTaskRequest(bundle_id=task.bundle_id, dry_run=True)
        )
    for _ in range(2):
        cancelled = cancel_bundle_task(owner.services, owner.principal, request).bundle_task
        assert cancelled is not None and cancelled.state == "cancelling"
    ended = owner.move_task(TaskEvent.FAILED, error=TaskError("Client.Cancelled", "words"))
    assert ended.state is BundleState.FAILED
    with pytest.raises(IncorrectState, match="is failed: it cannot be cancelled"):
        cancel_bundle_task(owner.services, owner.principal, request)


def test_the_owner_is_the_keys_account_whatever_principal_asks(owner: Owner) -> None:
    elsewhere = replace(owner.principal, access_key_id="another of its keys")
    request = ec2.BundleInstanceRequest(instance_id=owner.instance_id, storage=owner.storage())
    assert bundle_instance(owner.services, elsewhere, request).bundle_task is not None
