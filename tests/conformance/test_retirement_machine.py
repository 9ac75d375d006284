"""Deletion, deregistration, sharing, locks and the Recycle Bin in any order, against a model of a hundred lines.

What must never happen: bytes of a snapshot that lives or is binned are not there; an image is seen or launched by whom it is not
for; a call does something else than the model says, or is refused with another code.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from amiable.api import ebs as ebs_api
from amiable.api import rbin as rbin_api
from amiable.model.errors import Refusal
from amiable.model.principal import Principal
from amiable.model.units import BLOCK_BYTES
from amiable.server.operations import EC2
from amiable.services import Services
from amiable.services.recycle_bin import end_what_is_over
from amiable.wire.generated import ebs, ec2, rbin
from tests.support.clock import Clock
from tests.support.retirement_model import ALL, IMAGE, OK, SNAPSHOT, Ami, Disk, Model
from tests.support.services import make_account, open_services

EXAMPLES, STEPS = 24, 40
CONTENTS = 3
"""Few, so that snapshots share blocks: one's end must not take another's."""
WHO = ("owner", "sharee", "stranger")
NUMBERS = st.integers(0, 11)
VERBS = (
    *("make a disk", "register", "share", "make private", "guard", "disable or enable", "protect", "lock", "launch"),
    *("deregister", "delete", "restore an image", "restore a disk", "make a rule", "drop the rules", "pass time"),
    *("deregister", "delete", "delete", "restore an image", "restore a disk", "share", "register"),
)
"""Those that stand twice are done twice as often."""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Clock]]:
    clock = Clock()
    with open_services(tmp_path_factory.mktemp("machine") / "data", clock=clock) as services:
        yield services, clock


class Retirement(RuleBasedStateMachine):
    """One account's images and snapshots, with a sharee and a stranger looking on."""

    def __init__(self, services: Services, clock: Clock) -> None:
        super().__init__()
        self.services, self.clock = services, clock
        self.who = {name: make_account(services, name)[1] for name in WHO}
        self.model = Model(clock.moment)
        self.disks: list[str] = []
        self.amis: list[str] = []
        self.steps = 0
        self.ec2("DisableImageBlockPublicAccess", ec2.DisableImageBlockPublicAccessRequest())

    @property
    def owner(self) -> Principal:
        return self.who["owner"]

    def ec2(self, name: str, request: Any, who: str = "owner") -> Any:
        return EC2[name](self.services, self.who[who], request)

    def agree(self, expected: str, name: str, request: Any, who: str = "owner") -> Any:
        """Does it, and holds the code that it is refused with against the model's."""
        try:
            answer = self.ec2(name, request, who)
        except Refusal as refusal:
            assert refusal.code == expected, (name, refusal.message)
            return None
        assert expected == OK, (name, request)
        return answer

    @initialize(image_days=st.integers(0, 4), snapshot_days=st.integers(0, 4))
    def begin(self, image_days: int, snapshot_days: int) -> None:
        """A world in which something can happen."""
        for content in (1, 1, 2):
            self.make_disk(content)
        for number, name in enumerate(("one", "two")):
            self.register(number, number + 1, name)
        for kind, days in ((IMAGE, image_days), (SNAPSHOT, snapshot_days)):
            if days:
                self.make_rule(kind, days)

    @rule(verb=st.sampled_from(VERBS), first=NUMBERS, second=NUMBERS, days=st.integers(1, 4))
    def act(self, verb: str, first: int, second: int, days: int) -> None:
        """One call, chosen from a table, so that every kind of call is in every run; ``second`` is its flag, too."""
        is_kept, flag = verb.startswith("restore"), second % 2 == 1
        ami = choose(self.amis, _binned(self.model.amis) if is_kept else self.model.live(), first)
        disk = choose(self.disks, _binned(self.model.disks) if is_kept else self.model.live_disks(), first)
        acts: dict[str, Callable[[], Any]] = {
            "make a disk": lambda: self.make_disk(1 + second % CONTENTS),
            "register": lambda: self.register(first, second, ("one", "two", "three")[days % 3]),
            "share": lambda: self.share(ami, is_public=flag),
            "make private": lambda: self.make_private(ami),
            "guard": lambda: self.guard(flag),
            "disable or enable": lambda: self.set_state(ami, "disabled" if flag else "available"),
            "protect": lambda: self.protect(ami, flag),
            "deregister": lambda: self.deregister(ami, with_disks=flag),
            "delete": lambda: self.delete(disk),
            "restore an image": lambda: self.restore_image(ami),
            "restore a disk": lambda: self.restore_disk(disk),
            "lock": lambda: self.lock(disk, days - 1),
            "make a rule": lambda: self.make_rule(IMAGE if flag else SNAPSHOT, days),
            "drop the rules": self.drop_the_rules,
            "pass time": lambda: self.pass_time(days, is_swept=flag),
            "launch": lambda: self.try_to_launch(ami, WHO[second % 3]),
        }
        assert acts.keys() == set(VERBS)
        self.steps += 1
        acts[verb]()

    # ── making and sharing ──────────────────────────────────────────────────────────────────────────────────────────────

    def make_disk(self, content: int) -> None:
        made = ebs_api.start_snapshot(self.services, self.owner, ebs.StartSnapshotRequest(volume_size=1)).snapshot_id
        assert made is not None
        self.services.blocks.write(made, [(0, bytes([content]) * BLOCK_BYTES)])
        done = ebs.CompleteSnapshotRequest(snapshot_id=made, changed_blocks_count=1)
        ebs_api.complete_snapshot(self.services, self.owner, done)
        self.model.disks[made] = Disk(content)
        self.disks.append(made)

    def register(self, first: int, second: int, name: str) -> None:
        live = self.model.live_disks()
        chosen = (choose(self.disks, live, first), choose(self.disks, live, second))
        mapping = [
            ec2.BlockDeviceMapping(device_name=device, ebs=ec2.EbsBlockDevice(snapshot_id=disk))
            for device, disk in zip(("/dev/sda", "/dev/sdb"), chosen, strict=True)
        ]
        wanted = ec2.RegisterImageRequest(
            name=name, architecture="x86_64", virtualization_type="hvm", root_device_name="/dev/sda",
            block_device_mappings=mapping,
        )  # fmt: skip
        answer = self.agree(self.model.register(name, chosen), "RegisterImage", wanted)
        if answer is not None:
            self.model.amis[answer.image_id] = Ami(name, chosen)
            self.amis.append(answer.image_id)

    def share(self, ami: str, *, is_public: bool) -> None:
        grantee = ALL if is_public else self.who["sharee"].account_id
        added = ec2.LaunchPermission(group=ALL) if is_public else ec2.LaunchPermission(user_id=grantee)
        change = ec2.LaunchPermissionModifications(add=[added])
        wanted = ec2.ModifyImageAttributeRequest(image_id=ami, launch_permission=change)
        self.agree(self.model.share(ami, grantee), "ModifyImageAttribute", wanted)

    def make_private(self, ami: str) -> None:
        wanted = ec2.ResetImageAttributeRequest(image_id=ami, attribute="launchPermission")
        self.agree(self.model.change(ami, grants=set()), "ResetImageAttribute", wanted)

    def guard(self, is_guarded: bool) -> None:
        self.model.is_guarded = is_guarded
        if is_guarded:
            state = "block-new-sharing"
            wanted = ec2.EnableImageBlockPublicAccessRequest(image_block_public_access_state=state)
            self.ec2("EnableImageBlockPublicAccess", wanted)
        else:
            self.ec2("DisableImageBlockPublicAccess", ec2.DisableImageBlockPublicAccessRequest())

    def set_state(self, ami: str, state: str) -> None:
        expected = self.model.change(ami, state=state)
        if state == "disabled":
            self.agree(expected, "DisableImage", ec2.DisableImageRequest(image_id=ami))
        else:
            self.agree(expected, "EnableImage", ec2.EnableImageRequest(image_id=ami))

    def protect(self, ami: str, is_protected: bool) -> None:
        verb, request = (
            ("Enable", ec2.EnableImageDeregistrationProtectionRequest(image_id=ami))
            if is_protected
            else ("Disable", ec2.DisableImageDeregistrationProtectionRequest(image_id=ami))
        )
        expected = self.model.change(ami, is_protected=is_protected)
        self.agree(expected, f"{verb}ImageDeregistrationProtection", request)

    # ── ending and bringing back ────────────────────────────────────────────────────────────────────────────────────────

    def deregister(self, ami: str, *, with_disks: bool) -> None:
        wanted = ec2.DeregisterImageRequest(image_id=ami, delete_associated_snapshots=with_disks)
        self.agree(self.model.deregister(ami, with_disks=with_disks), "DeregisterImage", wanted)

    def delete(self, disk: str) -> None:
        self.agree(self.model.delete(disk), "DeleteSnapshot", ec2.DeleteSnapshotRequest(snapshot_id=disk))

    def restore_image(self, ami: str) -> None:
        wanted = ec2.RestoreImageFromRecycleBinRequest(image_id=ami)
        self.agree(self.model.restore_image(ami), "RestoreImageFromRecycleBin", wanted)

    def restore_disk(self, disk: str) -> None:
        wanted = ec2.RestoreSnapshotFromRecycleBinRequest(snapshot_id=disk)
        self.agree(self.model.restore_disk(disk), "RestoreSnapshotFromRecycleBin", wanted)

    def lock(self, disk: str, days: int) -> None:
        """No days: it is unlocked."""
        if days:
            wanted = ec2.LockSnapshotRequest(snapshot_id=disk, lock_mode="governance", lock_duration=days)
            self.agree(self.model.lock(disk, days), "LockSnapshot", wanted)
        else:
            self.agree(self.model.unlock(disk), "UnlockSnapshot", ec2.UnlockSnapshotRequest(snapshot_id=disk))

    def make_rule(self, kind: str, days: int) -> None:
        period = rbin.RetentionPeriod(retention_period_value=days, retention_period_unit="DAYS")
        wanted = rbin.CreateRuleRequest(retention_period=period, resource_type=kind)
        made = rbin_api.create_rule(self.services, self.owner, wanted).identifier
        assert made is not None
        self.model.rules[made] = (kind, days)

    def drop_the_rules(self) -> None:
        for each in self.model.rules:
            rbin_api.delete_rule(self.services, self.owner, rbin.DeleteRuleRequest(identifier=each))
        self.model.rules.clear()

    def pass_time(self, days: int, *, is_swept: bool) -> None:
        self.model.pass_(self.clock.pass_(days=days))
        if is_swept:
            end_what_is_over(self.services)

    # ── what is seen ────────────────────────────────────────────────────────────────────────────────────────────────────

    def try_to_launch(self, ami: str, who: str) -> None:
        expected = self.model.launch(ami, self.who[who].account_id, self.owner.account_id)
        wanted = ec2.RunInstancesRequest(image_id=ami, min_count=1, max_count=1, instance_type="t2.micro", dry_run=True)
        self.agree(expected, "RunInstances", wanted, who)

    @invariant()
    def everybody_sees_what_is_theirs_to_see(self) -> None:
        """One of the three looks after each step, in turn."""
        who = WHO[self.steps % 3]
        asked = ec2.DescribeImagesRequest(
            owners=[self.owner.account_id], include_disabled=True, include_deprecated=True
        )
        seen = {image.image_id: image.state for image in self.ec2("DescribeImages", asked, who).images}
        assert seen == self.model.sees(self.who[who].account_id, self.owner.account_id)
        snapshots = self.ec2("DescribeSnapshots", ec2.DescribeSnapshotsRequest(), who).snapshots
        theirs = set(self.model.live_disks()) if who == "owner" else set()
        assert {snapshot.snapshot_id for snapshot in snapshots} == theirs

    @invariant()
    def the_bin_holds_what_the_model_says(self) -> None:
        images = self.ec2("ListImagesInRecycleBin", ec2.ListImagesInRecycleBinRequest()).images
        assert {i.image_id: i.recycle_bin_exit_time for i in images} == _binned(self.model.amis)
        snapshots = self.ec2("ListSnapshotsInRecycleBin", ec2.ListSnapshotsInRecycleBinRequest()).snapshots
        assert {s.snapshot_id: s.recycle_bin_exit_time for s in snapshots} == _binned(self.model.disks)

    @invariant()
    def no_referenced_block_is_lost(self) -> None:
        if self.steps % 4 == 0:
            for disk_id, disk in self.model.disks.items():
                assert self.services.blocks.read(disk_id, 0) == bytes([disk.content]) * BLOCK_BYTES


def choose(ids: list[str], likely: Collection[str], number: int) -> str:
    """One of ``ids``, in the order of their making; three times in four one of the ``likely``."""
    fit = [each for each in ids if each in likely] if number % 4 else ids
    return (fit or ids)[number % len(fit or ids)]


def _binned(kept: Any) -> dict[str, datetime]:
    return {each: thing.exit for each, thing in kept.items() if thing.exit is not None}


def test_nothing_referenced_is_lost_and_nothing_forbidden_is_seen(installation: tuple[Services, Clock]) -> None:
    class OfThisInstallation(Retirement):
        def __init__(self) -> None:
            super().__init__(*installation)

    limits = settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(OfThisInstallation, settings=limits)
