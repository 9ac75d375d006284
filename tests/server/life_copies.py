"""What an owner asks to be made of instances' disks, images, snapshots and new roots, and what must be so of it at every step.

A snapshot holds what its volume held at a moment after the call; all that one call asked for, what was held at one moment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import select

from amiable.api.ec2.create_image import create_image
from amiable.api.ec2.create_snapshots import create_snapshot, create_snapshots
from amiable.api.ec2.images import deregister_image
from amiable.api.ec2.replace_root_volume import create_replace_root_volume_task
from amiable.api.ec2.snapshots import delete_snapshot
from amiable.database import images, root_replacements, schema, snapshots, volumes
from amiable.model.errors import Refusal
from amiable.model.image import ImageState
from amiable.model.principal import Principal
from amiable.model.root_replacement import LIVE, ReplacementState
from amiable.model.snapshot import COMPLETED, ERROR, PENDING
from amiable.services import Services
from amiable.vm.dirty_bitmaps import SINCE
from amiable.wire.generated import ec2
from tests.server.fake_disks import Cells, cells_of
from tests.server.fake_host import Host

REFUSALS: Final = {
    "ConcurrentCreateImageNoRebootLimitExceeded",
    "ConcurrentSnapshotLimitExceeded",
    "IncorrectInstanceState",
    "IncorrectState",
    "InvalidAMIID.Unavailable",
    "InvalidParameterValue",
    "InvalidSnapshot.InUse",
    "InvalidSnapshot.NotFound",
    "InvalidVolume.NotFound",
    "NonEBSInstance",
    "PendingSnapshotLimitExceeded",
    "SnapshotCreationPerVolumeRateExceeded",
    "UnsupportedOperation",
}
KINDS: Final = ("image", "image without a reboot", "snapshots", "snapshot", "root")
BITMAPS_MAX: Final = 2
"""Of a disk: the one that records, and the one that the newest snapshot was read by."""


@dataclass(frozen=True)
class Asked:
    """What one call asked for; ``number`` is of the newest write when it was answered."""

    pairs: dict[str, str]  # snapshot id → volume id
    number: int
    image_id: str | None = None


class Copies:
    """All that was asked for."""

    def __init__(self, services: Services, principal: Principal, host: Host) -> None:
        self._services, self._principal, self._host = services, principal, host
        self.asked: list[Asked] = []
        self.task_ids: list[str] = []
        self._checked: set[str] = set()

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, kind: str, instance_id: str) -> None:
        """A call, which may be refused."""
        calls: dict[str, Callable[[str], None]] = {
            "image": self._image,
            "image without a reboot": lambda instance_id: self._image(instance_id, no_reboot=True),
            "snapshots": self._snapshots,
            "snapshot": self._snapshot,
            "root": self._root,
        }
        self._try(lambda: calls[kind](instance_id))

    def end(self, which: int, *, deletes: bool) -> None:
        """An image is deregistered, or a snapshot deleted, whatever becomes of it just then."""
        if not self.asked:
            return
        asked = self.asked[which % len(self.asked)]
        if asked.image_id is not None:
            request = ec2.DeregisterImageRequest(image_id=asked.image_id, delete_associated_snapshots=deletes)
            self._try(lambda: deregister_image(self._services, self._principal, request))
        for snapshot_id in asked.pairs if asked.image_id is None or not deletes else ():
            gone = ec2.DeleteSnapshotRequest(snapshot_id=snapshot_id)
            self._try(partial(delete_snapshot, self._services, self._principal, gone))

    def _try(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except Refusal as refusal:
            assert refusal.code in REFUSALS, (refusal.code, str(refusal))

    def _image(self, instance_id: str, *, no_reboot: bool = False) -> None:
        name = f"image {len(self.asked)} of {instance_id}"
        request = ec2.CreateImageRequest(instance_id=instance_id, name=name, no_reboot=no_reboot)
        made = create_image(self._services, self._principal, request).image_id
        with self._services.database.read() as c:
            image = images.get(c, self._principal.region, str(made), viewer=self._principal.account_id)
        assert image is not None
        self._note([each.snapshot_id for each in image.devices if each.snapshot_id], made)

    def _snapshots(self, instance_id: str) -> None:
        wanted = ec2.InstanceSpecification(instance_id=instance_id)
        request = ec2.CreateSnapshotsRequest(instance_specification=wanted)
        made = create_snapshots(self._services, self._principal, request)
        self._note([str(each.snapshot_id) for each in made.snapshots or []])

    def _snapshot(self, instance_id: str) -> None:
        with self._services.database.read() as c:
            held = [each for each in volumes.volumes_of(c, instance_id) if not each.is_instance_store]
        if held:
            self.snapshot_of(held[-1].id)

    def snapshot_of(self, volume_id: str) -> None:
        request = ec2.CreateSnapshotRequest(volume_id=volume_id)
        made = create_snapshot(self._services, self._principal, request)
        self._note([str(made.snapshot_id)])

    def _note(self, snapshot_ids: list[str], image_id: str | None = None) -> None:
        pairs = {snapshot_id: str(self._snapshot_row(snapshot_id).volume_id) for snapshot_id in snapshot_ids}
        for volume_id in pairs.values():
            self._host.base_of(volume_id)
        self.asked.append(Asked(pairs, self._host.number, image_id))

    def _root(self, instance_id: str) -> None:
        """From what it was launched from, or the newest image that there is."""
        whole = [
            each.image_id for each in self.asked if each.image_id and self._image_state(each.image_id) == "available"
        ]
        request = ec2.CreateReplaceRootVolumeTaskRequest(
            instance_id=instance_id,
            image_id=whole[-1] if whole else None,
            delete_replaced_root_volume=self._host.number % 2 == 0,
        )
        made = create_replace_root_volume_task(self._services, self._principal, request).replace_root_volume_task
        assert made is not None and made.replace_root_volume_task_id is not None
        self.task_ids.append(made.replace_root_volume_task_id)

    # ── what must be so ─────────────────────────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """At every step."""
        for asked in self.asked:
            states = {each: self._snapshot_state(each) for each in asked.pairs}
            if asked.image_id is not None:
                self._check_image(asked.image_id, set(states.values()))
            whole = [each for each, state in states.items() if state == COMPLETED and each not in self._checked]
            if whole:
                self._check_moment(asked, {each: cells_of(self._services, each) for each in whole})
                self._checked |= set(whole)
            for each in (each for each, state in states.items() if state == ERROR):
                assert self._snapshot_row(each).state_message

    def _check_image(self, image_id: str, states: set[str]) -> None:
        with self._services.database.read() as c:
            image = images.get(c, self._principal.region, image_id, viewer=self._principal.account_id)
        if image is not None and image.state is ImageState.AVAILABLE:
            assert states == {COMPLETED}, (image_id, states)
        if image is not None and image.state is ImageState.FAILED:
            assert image.state_reason is not None and image.state_reason.message

    def _check_moment(self, asked: Asked, found: dict[str, Cells]) -> None:
        """No later write is in any of them, and no earlier one is missing."""
        newest = max((number for cells in found.values() for number in cells.values()), default=0)
        moment = max(newest, asked.number)
        for snapshot_id, cells in found.items():
            volume_id = asked.pairs[snapshot_id]
            wanted = self._host.base_of(volume_id) | self._host.written(volume_id, moment)
            assert cells == wanted, (snapshot_id, volume_id, asked.number, newest, cells, wanted)

    def unfinished(self) -> list[str]:
        """What is still in the making."""
        with self._services.database.read() as c:
            tasks = [root_replacements.get_task(c, task_id) for task_id in self.task_ids]
        left = [each for asked in self.asked for each in asked.pairs if self._snapshot_state(each) == PENDING]
        left += [
            each.image_id for each in self.asked if each.image_id and self._image_state(each.image_id) == "pending"
        ]
        return left + [task.id for task in tasks if task is not None and task.state in LIVE]

    def is_all_made(self) -> bool:
        """Nothing has failed."""
        with self._services.database.read() as c:
            tasks = [root_replacements.get_task(c, task_id) for task_id in self.task_ids]
        made = {self._snapshot_state(each) for asked in self.asked for each in asked.pairs} <= {COMPLETED}
        made &= all(self._image_state(each.image_id) == "available" for each in self.asked if each.image_id)
        return made and all(task is not None and task.state is ReplacementState.SUCCEEDED for task in tasks)

    def reasons(self) -> set[str]:
        """Why what has failed did."""
        rows = [self._snapshot_row(each) for asked in self.asked for each in asked.pairs]
        return {str(row.state_message) for row in rows if row is not None and row.state == ERROR}

    def check_settled(self) -> None:
        """Nothing of any moment is left, on the host or in the store; guests run, and write."""
        assert self.unfinished() == []
        folders = [*self._services.data.glob("instances/*/*"), *self._services.data.glob("volumes/*")]
        left = [str(path) for path in folders if path.name.startswith(("disks", "copies"))]
        assert left == [] and not any(each.is_alive for each in self._host.daemons), left
        for guest in self._host.live():
            kinds = {name.partition("-")[0] for name in guest.blocks.nodes}
            assert not kinds & {"filter", "moment", "copies", "empty"}, kinds
            assert not guest.blocks.exports and not guest.blocks.is_serving
            assert guest.status == "running" and not guest.is_frozen, (guest.status, guest.is_frozen)
            for node in guest.blocks.nodes.values():
                marks = [] if node.file is None else [name for name in node.file.bitmaps if name.startswith(SINCE)]
                assert len(marks) <= BITMAPS_MAX, marks
        with self._services.database.read() as c:
            whole = set(c.execute(select(schema.snapshot.c.id).where(schema.snapshot.c.state == COMPLETED)).scalars())
            there = set(c.execute(select(schema.snapshot.c.id)).scalars())
            waiting = set(c.execute(select(schema.pending_block.c.snapshot_id)).scalars())
            referring = set(c.execute(select(schema.snapshot_leaf.c.snapshot_id)).scalars())
        assert not waiting, waiting
        assert referring <= there and referring <= whole, referring - whole

    def _snapshot_row(self, snapshot_id: str) -> Any:
        with self._services.database.read() as c:
            return snapshots.get(c, snapshot_id)

    def _snapshot_state(self, snapshot_id: str) -> str:
        row = self._snapshot_row(snapshot_id)
        return "gone" if row is None else str(row.state)

    def _image_state(self, image_id: str) -> str:
        with self._services.database.read() as c:
            image = images.get(c, self._principal.region, image_id, viewer=self._principal.account_id)
        return "gone" if image is None else image.state.value
