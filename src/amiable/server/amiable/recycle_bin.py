"""The Recycle Bin: ``/amiable/v1/recycle-bin``, ``/retention-rules`` and ``/retention-plan``."""

from typing import Final

from amiable.api import recycle_bin
from amiable.model.recycle_bin import BinnedImage, PlannedImage
from amiable.model.retention import RetentionRule, TagMatch
from amiable.model.snapshot import Snapshot
from amiable.server.amiable.calls import Answer, Routes, instant
from amiable.server.contracts import Authenticated
from amiable.services import Services


def _list_contents(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    found = recycle_bin.read_contents(services, request.principal)
    return {"Contents": [*map(_image, found.images), *map(_snapshot, found.snapshots)]}


def _image(image: BinnedImage) -> Answer:
    return {
        "ResourceId": image.id,
        "ResourceType": "image",
        "Name": image.name,
        "EnteredAt": instant(image.entered_at),
        "ExitAt": instant(image.exit_at),
    }


def _snapshot(snapshot: Snapshot) -> Answer:
    assert snapshot.binned_at is not None and snapshot.bin_exit_at is not None
    return {
        "ResourceId": snapshot.id,
        "ResourceType": "snapshot",
        "Name": snapshot.description,
        "EnteredAt": instant(snapshot.binned_at),
        "ExitAt": instant(snapshot.bin_exit_at),
    }


def _list_rules(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    now = services.now()
    return {
        "Rules": [
            _rule(rule) | {"Lock": rule.lock_state(now).value}
            for rule in recycle_bin.list_rules(services, request.principal)
        ]
    }


def _rule(rule: RetentionRule) -> Answer:
    return {
        "Identifier": rule.id,
        "ResourceType": rule.resource_type,
        "Days": rule.retention_days,
        "Keeps": [*map(_match, rule.resource_tags)] or ["everything"],
        "Except": [*map(_match, rule.exclude_tags)],
        "Description": rule.description or "",
    }


def _match(tag: TagMatch) -> str:
    return tag.key if tag.value is None else f"{tag.key}={tag.value}"


def _read_plan(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    return {"Images": [_planned(image) for image in recycle_bin.read_plan(services, request.principal)]}


def _planned(image: PlannedImage) -> Answer:
    return {
        "ImageId": image.id,
        "Name": image.name,
        "State": image.state,
        "ExitAt": None if image.exit_at is None else instant(image.exit_at),
        "RuleIdentifier": image.rule_id,
        "Days": image.days,
        "Warnings": list(image.warnings),
    }


ROUTES: Final[Routes] = {
    ("GET",    "recycle-bin"): _list_contents,
    ("GET",    "retention-rules"): _list_rules,
    ("GET",    "retention-plan"): _read_plan,
}  # fmt: skip
