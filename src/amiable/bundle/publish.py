"""From an image into a bucket in one pass: parts leave as they are made, nothing is written here.

    image ─▶ create_into ─▶ at most ``waiting_max`` parts in memory ─▶ put, several at once ─▶ assurance ─▶ manifest

The bucket holds all of the bundle, and the manifest last, or nothing of it: what was put is removed again when anything fails, also
what the caller does with the bundle before it is content with it, registering it for instance.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Final

from amiable.bundle.assurance import sidecar_name, write_sidecar
from amiable.bundle.delete import delete_keys, in_order, keys_of_name
from amiable.bundle.dsse import load_signing_key
from amiable.bundle.parts import HandedOn
from amiable.bundle.pipeline import Recipe, check_recipe, create_into, open_layout
from amiable.bundle.recorder import Recorder
from amiable.bundle.transfer import S3, Patience, Place
from amiable.bundle.unbundle import Progress
from amiable.bundle.upload import ACL, Destination
from amiable.bundle.whole_answers import FAILURES
from amiable.model.errors import LocalRefusal
from amiable.model.manifest import Part

WAITING_MAX: Final = 2
WORKERS: Final = 2


@dataclass(frozen=True, slots=True)
class PublishOrder:
    """Where to and how.  ``waiting_max`` parts of 10 MiB at most lie in memory, ``workers`` of them under way.

    ``replace``: a bundle of that name is removed first, instead of refused.  ``assured``: with an assurance sidecar.
    """

    place: Place
    acl: str = ACL
    waiting_max: int = WAITING_MAX
    workers: int = WORKERS
    replace: bool = False
    assured: bool = True


@contextmanager
def published(
    s3: S3, recipe: Recipe, *, order: PublishOrder, patience: Patience, progress: Progress | None = None
) -> Iterator[str]:
    """The ImageLocation of a new bundle of ``recipe.image``; it stays if the block ends well, else it is removed.

    The bucket must be there.
    """
    check_recipe(recipe)
    signing_keys = [load_signing_key(recipe.assurance_key_pem or recipe.private_key_pem)] if order.assured else []
    bucket = _Bucket(s3, order, patience)
    manifest_name = f"{recipe.name}.manifest.xml"
    with open_layout(recipe.image) as layout, ExitStack() as recording, ExitStack() as undo:
        _make_room(s3, order, recipe.name, patience)
        recorder = recording.enter_context(Recorder()) if order.assured else None
        undo.callback(bucket.remove)
        workers = min(order.workers, order.waiting_max)
        with HandedOn(bucket.put_part, workers=workers, waiting_max=order.waiting_max) as sink:
            # Runs before the sink waits for its threads: none of them shall try again then.
            with bucket.hurried():
                document = create_into(replace(recipe, image=layout), sink, progress=progress, recorder=recorder)
        if recorder is not None:
            bucket.put(sidecar_name(manifest_name), write_sidecar(recorder, document, signing_keys))
        bucket.put(manifest_name, document)
        yield order.place.location(manifest_name)
        undo.pop_all()


def _make_room(s3: S3, order: PublishOrder, name: str, patience: Patience) -> None:
    """Refuses where a bundle of that name lies already, or removes it."""
    held = keys_of_name(s3, order.place, name, patience)
    if held and not order.replace:
        raise LocalRefusal(
            f"{order.place.bucket}/{held[0]} exists already", hint="--force replaces that bundle; -p gives another name"
        )
    delete_keys(s3, order.place.bucket, held, patience=patience, told=lambda _: None)


class _Bucket:
    """Puts the bundle's files and remembers them."""

    def __init__(self, s3: S3, order: PublishOrder, patience: Patience) -> None:
        self._s3 = s3
        self._order = order
        self._patience = patience
        self._names: set[str] = set()

    def put_part(self, part: Part, body: memoryview) -> None:
        """Puts a part."""
        self.put(part.filename, bytes(body))

    def put(self, filename: str, body: bytes) -> None:
        """Puts a file; it counts as put from the moment that it is tried."""
        self._names.add(filename)
        Destination(self._s3, self._order.place, self._order.acl, self._patience).put(filename, body)

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Ends all trying again when the block fails."""
        try:
            yield
        except BaseException:
            self._patience.stopped.set()
            raise

    def remove(self) -> None:
        """Removes what was put, and tells so, or what stays where that fails too: another error is on its way."""
        place, tell = self._order.place, self._patience.tell or (lambda _: None)
        patience = replace(self._patience, attempts_max=3, stopped=threading.Event())
        removed: list[str] = []
        try:
            delete_keys(
                self._s3, place.bucket, in_order(map(place.key, self._names)), patience=patience, told=removed.append
            )
        except FAILURES as error:
            tell(f"{len(self._names) - len(removed)} objects may stay in {place.bucket}/{place.folder}: {error}")
        if removed:
            tell(f"removed the {len(removed)} objects that were uploaded to {place.bucket}/{place.folder}")
