"""register-manifest: a bundle's parts into what its image boots from.

Data: {"image_id", "account_id", "region", "assurance"?, "snapshot_id"?}.

    manifest (as registered?) ─▶ parts: SHA-1 ─▶ decrypt ─▶ gunzip ─▶ untar ─┬─▶ machine: an internal snapshot ═ available
                                                                            └─▶ kernel, ramdisk: kernels/<id> ═ available

A cipher stream cannot be entered in the middle, so a job that was killed drops what it had written and starts again.  Whatever is
wrong with the bundle ends the image as ``failed`` with a StateReason that says which, and leaves neither snapshot nor file.
``assurance`` is the SHA-256 of the sidecar that the image was registered with: parts, stream and image must fit it then.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Connection

from amiable.blocks.files import new_file
from amiable.bundle.manifest_xml import read_manifest
from amiable.bundle.parts import PartOpener
from amiable.bundle.unbundle import SealedBundle, open_image
from amiable.database import images, snapshots
from amiable.jobs.block_sink import BlockSink
from amiable.jobs.context import JobContext
from amiable.jobs.internal_snapshot import begin
from amiable.model.errors import BundleRefusal, InvalidManifest, Refusal, S3Refusal
from amiable.model.image import KERNEL_BYTES_MAX, Image, ImageState, ImageType, StateReason
from amiable.rules.acl import SERVICE
from amiable.rules.kernel_kind import check_declared
from amiable.services.assurance import read_sidecar
from amiable.services.content_digests import digest_of
from amiable.services.kernels import look_at
from amiable.services.manifests import part_key, read_manifest_object, split_location, why_unreadable
from amiable.services.objects import open_file, readable


def register_manifest(context: JobContext) -> None:
    """Brings a pending image to ``available`` or ``failed``."""
    image = _image(context)
    _drop_half(context)
    if image is None or image.state is not ImageState.PENDING:
        return
    try:
        source = _source(context, image)
        if image.image_type is ImageType.MACHINE:
            _convert_root(context, image, source)
        else:
            _keep_bytes(context, image, source)
    except Refusal as refusal:
        side = "Server" if refusal.status >= 500 else "Client"
        _fail(context, StateReason(f"{side}.{refusal.code}", f"{side}.{refusal.code}: {refusal.message}"))


def give_up(context: JobContext, message: str) -> None:
    """Ends the image as ``failed``."""
    _fail(context, StateReason("Server.InternalError", f"Server.InternalError: {message}"))


def _image(context: JobContext) -> Image | None:
    with context.services.database.read() as c:
        return images.get(c, context.data["region"], context.data["image_id"], viewer=context.data["account_id"])


def _fail(context: JobContext, reason: StateReason) -> None:
    _drop_half(context)
    with context.services.database.write() as c:
        is_failed = images.fail(c, context.data["image_id"], reason)
    if is_failed:
        _kernel_file(context).unlink(missing_ok=True)


def _drop_half(context: JobContext) -> None:
    """Removes the snapshot that an earlier run, or this one, was writing; never one of an image that is available."""
    snapshot_id = context.data.get("snapshot_id")
    if snapshot_id is None:
        return
    with context.services.database.write() as c:
        image = images.get(c, context.data["region"], context.data["image_id"], viewer=context.data["account_id"])
        if image is not None and image.state is ImageState.AVAILABLE:
            return
        if snapshots.get(c, snapshot_id) is not None:
            context.services.blocks.drop(c, snapshot_id)
            snapshots.delete_row(c, snapshot_id)
        context.save(c, {key: value for key, value in context.data.items() if key != "snapshot_id"})


def _source(context: JobContext, image: Image) -> SealedBundle:
    """Manifest and sidecar must still be those that the image was registered with."""
    document = read_manifest_object(context.services, image.account_id, image.location, region=image.region)
    if hashlib.sha256(document).digest() != image.manifest_digest:
        raise InvalidManifest(f"The manifest s3://{image.location} was changed after the image was registered.")
    manifest = read_manifest(document)
    assurance = None
    expected = context.data.get("assurance")
    if expected is not None:
        sidecar = read_sidecar(context.services, image.account_id, image.location, manifest, document)
        if sidecar is None or sidecar.digest.hex() != expected:
            raise InvalidManifest(
                f"The assurance sidecar of s3://{image.location} was changed or removed after the image was registered."
            )
        assurance = sidecar.assurance
    return SealedBundle(manifest, _opener(context, image), assurance)


def _opener(context: JobContext, image: Image) -> PartOpener:
    """Parts lie beside their manifest, and are read as the image service."""
    bucket, manifest_key = split_location(image.location)

    def open_part(filename: str) -> BinaryIO:
        context.go_on()
        key = part_key(manifest_key, filename)
        try:
            with context.services.database.read() as c:
                _, found = readable(c, SERVICE, bucket, key)
            return open_file(context.services, found)
        except S3Refusal as refusal:
            why = why_unreadable(context.services, image.account_id, f"{bucket}/{key}", refusal)
            raise BundleRefusal("parts", f"Part {filename}: {why}") from None

    return open_part


# ── machine images ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _convert_root(context: JobContext, image: Image, source: SealedBundle) -> None:
    services, manifest = context.services, source.manifest
    snapshot_id = begin(
        context,
        account_id=image.account_id,
        region=image.region,
        size_bytes=manifest.size_bytes,
        description=f"The root of {image.id}",
    )

    def checkpoint(c: Connection, _: int) -> None:
        context.save(c, progress_percent=percent[0])

    percent = [0]

    def progress(done: int, total: int) -> None:
        percent[0] = min(99, 100 * done // max(1, total))

    sink = BlockSink(services.blocks, snapshot_id, checkpoint)
    open_image(source, services.installation.bundling_key_pem, sink.write, progress=progress)
    sink.finish()
    services.blocks.complete(snapshot_id)
    facts: dict[str, object] = {"root_snapshot_id": snapshot_id, "size_bytes": manifest.size_bytes}
    with services.database.read() as c:
        facts["content_digest"] = digest_of(
            c, replace(image, root_snapshot_id=snapshot_id, size_bytes=manifest.size_bytes)
        )
    with services.database.write() as c:
        is_wanted = images.make_available(c, image.id, **facts)
        context.save(c, progress_percent=100)
    if not is_wanted:  # deregistered meanwhile
        _drop_half(context)


# ── kernels and ramdisks ────────────────────────────────────────────────────────────────────────────────────────────────


def _kernel_file(context: JobContext) -> Path:
    return context.services.data / "kernels" / str(context.data["image_id"])


def _keep_bytes(context: JobContext, image: Image, source: SealedBundle) -> None:
    """The plain bytes at ``kernels/<id>``: durable before the row names them."""
    services, manifest = context.services, source.manifest
    if manifest.size_bytes > KERNEL_BYTES_MAX:
        raise InvalidManifest(f"The {image.image_type} has {manifest.size_bytes} bytes, {KERNEL_BYTES_MAX} at most.")
    path = _kernel_file(context)
    with new_file(path) as file:
        file.truncate(manifest.size_bytes)

        def sink(offset: int, data: bytes) -> None:
            file.seek(offset)
            file.write(data)

        open_image(source, services.installation.bundling_key_pem, sink)
    facts: dict[str, object] = {"content_file": path.name, "size_bytes": manifest.size_bytes}
    if image.image_type is ImageType.KERNEL:
        facts |= images.kernel_values(check_declared(look_at(path), image.architecture, None))
    with services.database.read() as c:
        facts["content_digest"] = digest_of(c, replace(image, content_file=path.name), data=services.data)
    with services.database.write() as c:
        is_wanted = images.make_available(c, image.id, **facts)
        context.save(c, progress_percent=100)
    if not is_wanted:
        path.unlink(missing_ok=True)
