"""A bundle for another cloud or region: the same parts, another manifest.

    manifest ─ signature verified by whoever calls ─▶ kernel and ramdisk of the target ─▶ key and IV wrapped for the target's
    certificate ─▶ version 2007-10-10, signed by the user

The parts are not opened.  In a bucket they are copied by the server, and the manifest goes there last.  The assurance sidecar names the
manifest by its SHA-256, so it is made anew where the user may speak for it, and left out where not.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from amiable.bundle import keys
from amiable.bundle.assurance import read_assurance, sidecar_name, write_assurance
from amiable.bundle.delete import delete_sidecar
from amiable.bundle.download import fetch_bytes
from amiable.bundle.dsse import ENVELOPE_BYTES_MAX, load_signing_key, load_trusted_keys
from amiable.bundle.manifest_words import THIS_BUNDLER, check_account, check_words
from amiable.bundle.manifest_xml import read_manifest, write_manifest
from amiable.bundle.new_file import new_file, write_at
from amiable.bundle.transfer import S3, WORKERS, Patience, Place, ensure_bucket, in_parallel, list_held
from amiable.bundle.unbundle import unwrap_keys
from amiable.bundle.upload import ACL, Destination
from amiable.model.errors import BundleRefusal, LocalRefusal
from amiable.model.manifest import MACHINE, Manifest, Part, WrappedKey

BACKUP_SUFFIX: Final = ".bak"


@dataclass(frozen=True, slots=True)
class Target:
    """The cloud that the bundle is for; ``account_id`` is ``None`` where the account stays the same."""

    kernel_id: str | None
    ramdisk_id: str | None
    cloud_certificate_pem: str | bytes
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class Signer:
    """As whom: certificate and private key of the user; ``assurance_key_pem`` signs the sidecar, else the private key does."""

    certificate_pem: str | bytes
    private_key_pem: str | bytes
    assurance_key_pem: str | bytes | None = None


def migrate_manifest(manifest: Manifest, target: Target, signer: Signer) -> bytes:
    """The document of ``manifest`` for ``target``, signed by ``signer``, whose key must open the bundle."""
    if target.account_id is not None:
        check_account(target.account_id)
    check_words("a kernel", [target.kernel_id])
    check_words("a ramdisk", [target.ramdisk_id])
    private_key, user_key = keys.load_pair(signer.private_key_pem, signer.certificate_pem)
    cloud_key = keys.load_public_keys(target.cloud_certificate_pem)[0]
    key, iv = unwrap_keys(manifest, private_key)
    migrated = replace(
        manifest,
        bundler=THIS_BUNDLER,
        image_type=manifest.image_type or MACHINE,
        account_id=target.account_id or manifest.account_id,
        kernel_id=target.kernel_id,
        ramdisk_id=target.ramdisk_id,
        ec2=WrappedKey(keys.wrap(key, cloud_key), keys.wrap(iv, cloud_key)),
        user=WrappedKey(keys.wrap(key, user_key), keys.wrap(iv, user_key)),
    )
    return write_manifest(migrated, private_key)


def migrate_sidecar(sidecar: bytes, old: bytes, new: bytes, *, manifest_name: str, signer: Signer) -> bytes | None:
    """The sidecar of the manifest ``old`` made anew for ``new``; ``None`` where neither of the signer's keys vouches for it."""
    try:
        signing_key = load_signing_key(signer.assurance_key_pem or signer.private_key_pem)
        trusted = [*load_trusted_keys(signer.certificate_pem), signing_key.public_key()]
        assurance = read_assurance(sidecar, trusted, read_manifest(old), old)
    except BundleRefusal:
        return None
    changed = replace(assurance, manifest_sha256=hashlib.sha256(new).digest())
    return write_assurance(changed, manifest_name, [signing_key])


def replace_manifest(path: Path, new: bytes, signer: Signer) -> bool:
    """Puts ``new`` in the place of the manifest at ``path``, and the old one beside it as ``.bak``; likewise the sidecar.

    Whether the bundle has an assurance now.  An old ``.bak`` is not replaced: it is the bundle as it was first.
    """
    sidecar_path = path.with_name(sidecar_name(path.name))
    old = path.read_bytes()
    sidecar = sidecar_path.read_bytes() if sidecar_path.is_file() else None
    changed = sidecar and migrate_sidecar(sidecar, old, new, manifest_name=path.name, signer=signer)
    backups = {path.with_name(path.name + BACKUP_SUFFIX): old}
    if sidecar is not None:
        backups[sidecar_path.with_name(sidecar_path.name + BACKUP_SUFFIX)] = sidecar
    for backup in backups:
        if backup.exists():
            raise LocalRefusal(
                f"{backup} exists already", hint="it is the bundle as it was first: move it away to migrate again"
            )
    for backup, body in backups.items():
        _write(backup, body)
    if sidecar is not None and not changed:
        sidecar_path.unlink()
    for place, text in ((sidecar_path, changed), (path, new)):
        if text:
            _write(place, text)
    return bool(changed)


def _write(path: Path, body: bytes) -> None:
    with new_file(path) as file:
        write_at(file.fileno(), body, 0)


@dataclass(frozen=True, slots=True)
class CopyOrder:
    """From where to where, and who may read it there.  ``location``: of a bucket that is made."""

    source: Place
    destination: Place
    manifest_name: str
    acl: str = ACL
    location: str | None = None


def migrate_in_buckets(
    s3: S3, order: CopyOrder, *, documents: tuple[bytes, bytes], signer: Signer, patience: Patience
) -> tuple[str, bool]:
    """The ImageLocation of the migrated bundle, and whether it has an assurance; ``documents`` are its old and its new manifest.

    May be called again after a failure and goes on where it stood.
    """
    old, new = documents
    if order.source == order.destination:
        raise LocalRefusal(
            "the bundle would be copied onto itself", hint="-d names another bucket or folder", exit_code=2
        )
    ensure_bucket(s3, order.destination.bucket, order.location, patience)
    copy_parts(s3, read_manifest(old).parts, order, patience)
    name = sidecar_name(order.manifest_name)
    sidecar = fetch_bytes(s3, order.source, name, ENVELOPE_BYTES_MAX, patience)
    changed = sidecar and migrate_sidecar(sidecar, old, new, manifest_name=order.manifest_name, signer=signer)
    destination = Destination(s3, order.destination, order.acl, patience)
    if changed:
        destination.put(name, changed)
    else:
        delete_sidecar(s3, order.destination, order.manifest_name, patience)
    destination.put(order.manifest_name, new)
    return order.destination.location(order.manifest_name), bool(changed)


def copy_parts(s3: S3, parts: tuple[Part, ...], order: CopyOrder, patience: Patience) -> int:
    """Copies the parts on the server, each unless it is there already; how many were copied."""
    source, destination = order.source, order.destination
    stem = parts[0].filename.partition(".part.")[0]
    there = list_held(s3, source.bucket, source.key(stem), patience)
    here = list_held(s3, destination.bucket, destination.key(stem), patience)

    def copy(part: Part) -> bool:
        old, new = there.get(source.key(part.filename)), here.get(destination.key(part.filename))
        if old is None:
            raise BundleRefusal("parts", f"Part {part.filename} is missing from {source.bucket}.")
        if new is not None and (new.size_bytes, new.etag) == (old.size_bytes, old.etag):
            patience.run(new.key, lambda: s3.put_object_acl(Bucket=destination.bucket, Key=new.key, ACL=order.acl))
            return False
        request = {
            "Bucket": destination.bucket,
            "Key": destination.key(part.filename),
            "CopySource": {"Bucket": source.bucket, "Key": source.key(part.filename)},
            "ACL": order.acl,
        }
        patience.run(part.filename, lambda: s3.copy_object(**request))
        return True

    return sum(in_parallel(copy, parts, patience, WORKERS))
