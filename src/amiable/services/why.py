"""Why an image or a snapshot is still there: what keeps it, the command that frees each, and the bytes that would come free.

Another account's instances and the like are told by their number: whose they are is the owner's to know, which they are is not.
Refusals to delete carry the same list in their hint, what the deletion is refused for first.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from amiable.database import images, keepers, snapshots
from amiable.database.keepers import OF_IMAGES, OF_SNAPSHOTS, Kept
from amiable.model import ids
from amiable.model.errors import AuthFailure, InvalidSnapshotInUse, NotFound, OperationNotPermitted
from amiable.model.image import Image, ImageState
from amiable.model.keeper import Keeper
from amiable.model.principal import Principal
from amiable.rules import permission
from amiable.services import Services

HINT_KEEPERS_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Why:
    """The answer; ``free_bytes`` is what its blocks take that nothing else refers to."""

    resource_id: str
    keepers: tuple[Keeper, ...]
    free_bytes: int


def explain(services: Services, c: Connection, principal: Principal, resource_id: str) -> Why:
    """What keeps the caller's own image or snapshot, the administrator's any; raises NotFound, AuthFailure."""
    if ids.prefix_of(resource_id) == ids.SNAPSHOT:
        kept, snapshot_ids = _snapshot(services, c, principal, resource_id), [resource_id]
        found = keepers.keepers_of(c, kept, OF_SNAPSHOTS)
    else:
        image = _image(c, principal, resource_id)
        kept = Kept(image.id, image.account_id, image.region, services.now())
        found = keepers.keepers_of(c, kept, OF_IMAGES)
        snapshot_ids = _only_of(c, image)
    free_bytes = services.blocks.unshared_bytes(c, snapshot_ids)
    return Why(resource_id, tuple(_as_seen_by(principal, found)), free_bytes)


@contextmanager
def explained(services: Services, c: Connection, principal: Principal, resource_id: str) -> Iterator[None]:
    """A refusal to delete, raised inside, says in its hint what keeps the resource and what frees each."""
    try:
        yield
    except (InvalidSnapshotInUse, OperationNotPermitted) as refusal:
        is_snapshot = ids.prefix_of(resource_id) == ids.SNAPSHOT
        kept = Kept(resource_id, principal.account_id, principal.region, services.now())
        found = keepers.keepers_of(c, kept, OF_SNAPSHOTS if is_snapshot else OF_IMAGES)
        refusal.advice = hint_of(_as_seen_by(principal, found)) or refusal.advice
        raise


def hint_of(found: Sequence[Keeper]) -> str:
    """The keepers in words, those that block first, a line each."""
    ordered = sorted(found, key=lambda it: not it.blocks)
    shown = [_line(it) for it in ordered[:HINT_KEEPERS_MAX]]
    rest = len(ordered) - len(shown)
    return "\n".join([*shown, *([f"and {rest} more: amiable image why tells all"] if rest else [])])


def _line(it: Keeper) -> str:
    who = it.resource_id or f"{it.count} of account {it.account_id}"
    words = it.words + (" (refuses deletion)" if it.blocks else "")
    return f"{it.kind} {who}: {words}" + (f"; to free it: {it.command}" if it.command else "")


def _as_seen_by(principal: Principal, found: Sequence[Keeper]) -> list[Keeper]:
    """What the caller may know: of other accounts' things how many there are."""
    if principal.is_administrator:
        return list(found)
    mine = [it for it in found if it.account_id == principal.account_id]
    others = Counter((it.kind, it.account_id, it.blocks) for it in found if it.account_id != principal.account_id)
    counted = [
        Keeper(kind, "", account_id, "another account's: ask its owner", blocks=blocks, count=count)
        for (kind, account_id, blocks), count in others.items()
    ]
    return mine + counted


def _image(c: Connection, principal: Principal, image_id: str) -> Image:
    image = images.get(c, principal.region, image_id, viewer=principal.account_id)
    if image is None or image.state is ImageState.DEREGISTERED:
        raise NotFound("image", [image_id])
    if not principal.is_administrator and image.account_id != principal.account_id:
        if not permission.may_see(image, principal.account_id):
            raise NotFound("image", [image_id])
        raise AuthFailure(what=f"image:{image_id}")
    return image


def _snapshot(services: Services, c: Connection, principal: Principal, snapshot_id: str) -> Kept:
    snapshot = snapshots.get_kept(c, snapshot_id)
    may_know = principal.is_administrator or (snapshot is not None and snapshot.account_id == principal.account_id)
    if snapshot is None or snapshot.is_internal or snapshot.region != principal.region or not may_know:
        raise NotFound("snapshot", [snapshot_id])
    return Kept(snapshot.id, snapshot.account_id, snapshot.region, services.now())


def _only_of(c: Connection, image: Image) -> list[str]:
    """The snapshots that would go with the image: those that no other image is made of."""
    named = [device.snapshot_id for device in image.devices if device.snapshot_id is not None]
    alone = []
    for snapshot_id in dict.fromkeys(named):
        kept = Kept(snapshot_id, image.account_id, image.region, image.created_at)
        others = [it for it in keepers.images_of(c, kept) if it.resource_id != image.id]
        if not others:
            alone.append(snapshot_id)
    return alone + ([image.root_snapshot_id] if image.root_snapshot_id else [])
