"""The whole way from a volume to an image: look, plan, measure, run the script, write, make it start.

Everything that can be refused is refused before the image is begun; when anything fails later, the image is gone and nothing is mounted.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from amiable.bundle.new_file import EXIT_IO, no_place, told_when_full
from amiable.bundle.volume import boot_loader, disk, ext, fstab, hook, mounts, origin
from amiable.bundle.volume.capacity import least_bytes, needed_bytes
from amiable.bundle.volume.contents import Contents, Filling, Made, Measure, Progress, measure
from amiable.bundle.volume.disk import PLANS, Plan, Scheme
from amiable.bundle.volume.ext import ExtType, Identity
from amiable.bundle.volume.filters import Filters
from amiable.bundle.volume.menus import Menus, menu_for
from amiable.bundle.volume.origin import Origin
from amiable.bundle.volume.selection import Report, Selection, read_below, write_below
from amiable.model.errors import LocalRefusal
from amiable.model.units import MIB

FSTAB: Final = "etc/fstab"
EXT_TYPES: Final[dict[str, ExtType]] = {"ext2": "ext2", "ext3": "ext3", "ext4": "ext4"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What to make an image of, and how.  ``None`` stands for: as the volume has it.

    ``outputs`` are paths besides the image's that must not be taken: what the caller itself is about to write.
    """

    volume: Path
    size_bytes: int
    filters: Filters = field(default_factory=Filters)
    remote: bool = False
    scheme: Scheme | None = None
    type: ExtType | None = None
    label: str | None = None
    uuid: UUID | None = None
    root_device: str | None = None
    fstab: bytes | None = None
    generate_fstab: bool = False
    grub_config: bytes | None = None
    script: Path | None = None
    outputs: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was made."""

    path: Path
    identity: Identity
    scheme: Scheme
    measure: Measure
    report: Report


@dataclass(frozen=True, slots=True)
class _Settled:
    """A wish with every ``None`` decided."""

    wish: Wish
    volume: Path
    plan: Plan
    identity: Identity
    below: mounts.Below

    @property
    def root_source(self) -> str:
        return self.wish.root_device or f"UUID={self.identity.uuid}"


def make(wish: Wish, target: Path, *, progress: Progress | None = None) -> Image:
    """A new image of the volume at ``target``, which must not exist."""
    settled = settle(wish)
    report = Report()
    if settled.wish.type is None and (mounted := _mounted(settled.volume)) and mounted.type not in EXT_TYPES:
        report.remarks.append(
            ("", f"the volume's file system is {mounted.type}; the image's is {settled.identity.type}")
        )
    with ExitStack() as undo:
        image = _begin(target, undo)
        root, made = settled.volume, _fstab(settled, report)
        outputs = _outputs(settled, image)
        if wish.script is not None:
            tree = undo.enter_context(_tree(settled, wish.script, made))
            root, made = tree, {}
        selection = Selection(root, _with_host_keys(wish.filters, root), dict(settled.below.left_out), outputs)
        made = {**made, **menu_for(_menus(settled, root), report)}
        total = measure(selection, made)
        _check_size(wish, settled.plan, total)
        _check_room(target, total)
        with told_when_full(target):
            _write(settled, image, Contents(selection, made, total, report), progress)
        image.rename(target)
    return Image(target, settled.identity, settled.plan.scheme, total, report)


def check_wish(wish: Wish) -> None:
    """Refuses what can be seen to be wrong without looking into the volume."""
    if not wish.volume.is_dir():
        raise LocalRefusal(f"{wish.volume} is no folder", hint="--volume names a mounted file system or a folder")
    if wish.size_bytes % MIB:
        raise LocalRefusal("an image has whole MiB")
    if wish.label is not None and len(os.fsencode(wish.label)) > origin.LABEL_BYTES_MAX:
        raise LocalRefusal(f"a label has at most {origin.LABEL_BYTES_MAX} bytes", exit_code=2)
    if wish.script is not None and (not os.access(wish.script, os.X_OK) or "\n" in str(wish.script)):
        hint = "chmod +x, or another --script"
        raise LocalRefusal(f"{wish.script} is no program that can be run", hint=hint, exit_code=2)


def settle(wish: Wish) -> _Settled:
    """``wish`` with every choice made; raises LocalRefusal for what cannot be."""
    check_wish(wish)
    volume = wish.volume.resolve()
    found = mounts.of_this_host()
    mounted = mounts.at(found, str(volume))
    known = origin.of_mount(mounted) if mounted else origin.of_directory(read_below(volume, FSTAB) or "")
    return _Settled(
        wish=wish,
        volume=volume,
        plan=PLANS[wish.scheme or known.scheme],
        identity=_identity(wish, known),
        below=mounts.below(found, str(volume), remote=wish.remote),
    )


def _identity(wish: Wish, known: Origin) -> Identity:
    return Identity(
        type=wish.type or EXT_TYPES.get(known.type or "", "ext4"),
        label=known.label if wish.label is None else wish.label,
        uuid=wish.uuid or known.uuid or uuid4(),
    )


def _mounted(volume: Path) -> mounts.Mount | None:
    return mounts.at(mounts.of_this_host(), str(volume))


def _begin(target: Path, undo: ExitStack) -> Path:
    """The temporary name under which ``target`` is written; it is removed unless it was renamed."""
    if target.exists():
        raise LocalRefusal(f"{target} exists already", hint="remove it, or name another with --image-only or --prefix")
    image = target.with_name(f".{target.name[:64]}.{secrets.token_hex(8)}.partial")
    try:
        image.open("xb").close()
    except OSError as error:
        raise no_place(target, error) from error
    undo.callback(image.unlink, missing_ok=True)
    return image


@contextmanager
def _tree(settled: _Settled, script: Path, made: Mapping[str, Made]) -> Iterator[Path]:
    """The root of the tree after ``script`` ran on it, ``made`` in place before."""
    with hook.tree(settled.volume, tuple(settled.below.taken)) as tree:
        for path, file in made.items():
            write_below(tree.root, path, file.content, file.mode)
        tree.run(script.resolve())
        yield tree.root


def _fstab(settled: _Settled, report: Report) -> dict[str, Made]:
    """The image's fstab, unless the volume's holds as it is."""
    wish, root = settled.wish, fstab.Root(settled.root_source, settled.identity.type)
    if wish.fstab is not None:
        return {FSTAB: Made(wish.fstab)}
    present = read_below(settled.volume, FSTAB)
    if wish.generate_fstab or present is None:
        return {FSTAB: Made(fstab.generate(root).encode())}
    if fstab.root_source(present) in _names(settled):
        root = replace(root, source=fstab.root_source(present))
    gone = dict.fromkeys(settled.below.taken, "its files are part of the image")
    gone |= {path: why for path, why in settled.below.left_out.items() if why.startswith("not local")}
    text, remarks = fstab.adapt(present, root, gone)
    report.remarks.extend((FSTAB, remark) for remark in remarks)
    return {FSTAB: Made(text.encode(errors="surrogateescape"))} if remarks else {}


def _names(settled: _Settled) -> frozenset[str]:
    """What the image's root may be called by."""
    identity = settled.identity
    names = {f"UUID={identity.uuid}", *([f"LABEL={identity.label}"] if identity.label else [])}
    return frozenset(names | ({settled.wish.root_device} if settled.wish.root_device else set()))


def _menus(settled: _Settled, root: Path) -> Menus:
    return Menus(
        root=root,
        scheme=settled.plan.scheme,
        identity=settled.identity,
        root_source=settled.root_source,
        names=_names(settled),
        boot_apart="boot" in settled.below.taken,
        given=settled.wish.grub_config,
    )


def _with_host_keys(filters: Filters, root: Path) -> Filters:
    """``filters`` that leave out SSH host keys where cloud-init makes new ones."""
    return replace(filters, host_keys=read_below(root, "etc/cloud/cloud.cfg") is not None)


def _check_size(wish: Wish, plan: Plan, total: Measure) -> None:
    root_bytes = plan.root_bytes(wish.size_bytes)
    if needed_bytes(total, root_bytes) > root_bytes:
        mib = (least_bytes(total, root_bytes) + wish.size_bytes - root_bytes) // MIB
        raise LocalRefusal(
            f"the tree needs an image of {mib} MiB; {wish.size_bytes // MIB} MiB were asked for",
            hint=f"--size {mib}, or leave something out with --exclude",
        )


def _check_room(target: Path, total: Measure) -> None:
    """Refuses where the file system of ``target`` has not even room for the data."""
    room = os.statvfs(target.parent)
    free_bytes = room.f_bavail * room.f_frsize
    if free_bytes < total.data_bytes:
        raise LocalRefusal(
            f"{target.parent} has {free_bytes // MIB} MiB free; the image holds {-(-total.data_bytes // MIB)} MiB of data",
            hint="make room there, or name another place with -d",
            exit_code=EXIT_IO,
        )


def _write(settled: _Settled, image: Path, contents: Contents, progress: Progress | None) -> None:
    plan, size_bytes = settled.plan, settled.wish.size_bytes
    os.truncate(image, size_bytes)
    disk.partition(image, plan, size_bytes=size_bytes)
    ext.make(
        image,
        settled.identity,
        offset_bytes=plan.root_offset_bytes,
        size_bytes=plan.root_bytes(size_bytes),
        inodes=contents.total.entries,
    )
    with ext.opened(image, settled.identity, offset_bytes=plan.root_offset_bytes) as writer:
        Filling(writer, contents).run(progress)
    ext.verify(image, offset_bytes=plan.root_offset_bytes)
    boot_loader.install(image, plan, search=f"--fs-uuid {settled.identity.uuid}")
    with image.open("rb") as file:
        os.fsync(file.fileno())


def _outputs(settled: _Settled, image: Path) -> frozenset[str]:
    """What the bundling itself writes into the volume, as paths of the volume."""
    written = (path.resolve() for path in (image, *settled.wish.outputs))
    inside = (path for path in written if path.is_relative_to(settled.volume))
    return frozenset(str(path.relative_to(settled.volume)) for path in inside)
