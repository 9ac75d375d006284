"""A bundle's objects as BundleInstance writes them: each as the upload policy allows, in the name of the account that signed it,
as long as the key that signed it is active.

Which parts were written is in the job's checkpoint, saved in the transaction of each part's row, so that a later run, or the end of
the task, removes exactly those.  The manifest's row and the task's end are one transaction.
"""

import contextlib
from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from amiable.bundle.assurance import sidecar_name
from amiable.database import accounts, bundle_tasks, objects
from amiable.database.jobs import Cancelled, Lost
from amiable.jobs.context import JobContext
from amiable.model.bucket import Object, ObjectHeaders
from amiable.model.bundle_task import BundleTask
from amiable.model.errors import Refusal, S3Refusal
from amiable.model.manifest import Part
from amiable.rules.acl import Permission, may
from amiable.rules.bundle_task import Event
from amiable.rules.post_policy import Policy
from amiable.services.bundle_upload import CONTENT_TYPE, check_key_free, check_upload
from amiable.services.objects import access_denied, bucket_of, holding_of


class PolicyUpload:
    """Writes into the task's bucket; for one thread at a time."""

    def __init__(self, context: JobContext, task: BundleTask, policy: Policy) -> None:
        self._context = context
        self._task = task
        self._policy = policy

    def put_part(self, part: Part, body: memoryview) -> None:
        """Stores one part; raises what an upload is refused with, and Cancelled or Lost."""

        def count(c: Connection) -> None:
            self._context.save(c, {**self._context.data, "parts": part.index + 1, "last_part": part.filename})

        self._put({self._task.key_of(part.filename): body}, count)

    def put_documents(self, manifest: bytes, sidecar: bytes) -> None:
        """Stores the manifest and its assurance, and completes the task."""

        def complete(c: Connection) -> None:
            self._context.save(c, progress_percent=100)
            task = bundle_tasks.get_task(c, self._task.id)
            assert task is not None
            bundle_tasks.move(c, task, Event.STORED, now=self._context.services.now())

        sidecar_key = self._task.key_of(sidecar_name(f"{self._task.name}.manifest.xml"))
        self._put({sidecar_key: memoryview(sidecar), self._task.manifest_key: memoryview(manifest)}, complete)

    def _put(self, bodies: Mapping[str, memoryview], also: Callable[[Connection], None]) -> None:
        """Stores objects by their keys, all or none, with ``also`` in the same transaction."""
        services, task = self._context.services, self._task
        made: list[Object] = []
        try:
            for key, body in bodies.items():
                made.append(self._store(key, body))
            with services.database.write() as c:
                self._check_key(c)
                holder = bucket_of(c, task.bucket)
                if not may(task.object_owner_id, Permission.WRITE, holding_of(holder)):
                    raise access_denied()
                for new in made:
                    check_key_free(c, task.bucket, new.key)
                    objects.put_object(c, new)
                also(c)
        except (Refusal, Cancelled, Lost):  # what a commit itself raises may have a row on disk: the collector judges
            services.objects.delete([new.file for new in made])
            raise

    def _check_key(self, c: Connection) -> None:
        key = accounts.find_access_key(c, self._context.data["access_key_id"])
        if key is None or key.state != "active":
            text = "The access key that signed the upload policy is not active any more."
            raise S3Refusal("InvalidAccessKeyId", 403, text)

    def _store(self, key: str, body: memoryview) -> Object:
        """A durable file of what the policy lets be written there, that no row names yet."""
        services, task = self._context.services, self._task
        check_upload(self._policy, key, bucket=task.bucket, acl=task.acl, now=services.now())
        self._policy.check_size(len(body))
        file = services.objects.write([body], now=services.now())
        return Object(
            bucket=task.bucket,
            key=key,
            file=file.id,
            account_id=task.object_owner_id,
            size_bytes=file.size_bytes,
            etag=file.md5.hex(),
            headers=ObjectHeaders(content_type=CONTENT_TYPE),
            checksum=None,
            acl=task.acl,
            modified_at=services.now(),
        )


def remove_written(context: JobContext, task: BundleTask) -> None:
    """Removes the parts that this job wrote, in this run and in earlier ones."""
    count = int(context.data.get("parts", 0))
    if count == 0:
        return
    name, _, last = str(context.data["last_part"]).rpartition(".")
    keys = [task.key_of(f"{name}.{index:0{len(last)}d}") for index in range(count)]
    with context.services.database.write() as c:
        files = [objects.delete_object(c, task.bucket, key) for key in keys]
        with contextlib.suppress(Cancelled):  # who was asked to end does just that
            context.save(c, {key: value for key, value in context.data.items() if key not in ("parts", "last_part")})
    context.services.objects.delete([file for file in files if file is not None])
