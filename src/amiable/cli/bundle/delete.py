"""``amiable bundle delete``: a bundle out of a bucket."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from amiable.cli.bundle.connection import Connection
from amiable.cli.bundle.options import Batch, Bucket, need_name
from amiable.cli.bundle.prompt import confirmed
from amiable.cli.output import say
from amiable.model.errors import LocalRefusal


def delete(
    *,
    bucket: Bucket,
    manifest: Annotated[
        Path | None, Parameter(name=["--manifest", "-m"], help="Manifest on this disk: its parts are deleted.")
    ] = None,
    prefix: Annotated[str | None, Parameter(name=["--prefix", "-p"], help="The bundle's name, instead of -m.")] = None,
    clear: Annotated[bool, Parameter(negative=(), help="Delete the bucket too, if nothing else lies in it.")] = False,
    yes: Annotated[
        bool, Parameter(name=["--yes", "-y"], negative=(), help="Really; without it, it asks on a terminal.")
    ] = False,
    batch: Batch = False,
    connection: Connection = Connection(),
) -> None:
    """Deletes a bundle's own objects, the manifest first; never another.  Prints what was deleted."""
    from amiable.bundle import delete as deleting
    from amiable.bundle.transfer import read_place
    from amiable.bundle.unbundle import Waivers, read_bundle

    name = need_name(None if manifest is None else manifest.name, prefix)
    place = read_place(bucket)
    s3, patience = connection.s3(), connection.patience()
    if manifest is not None:
        described = read_bundle(manifest, None, Waivers(signature=True))
        keys = deleting.keys_of_manifest(s3, place, described, name, patience=patience)
    else:
        keys = deleting.keys_of_name(s3, place, name.removesuffix(".manifest.xml"), patience)
    if not keys and not clear:
        raise LocalRefusal(f"nothing of {name} lies in {bucket}", hint=f"aws s3 ls s3://{place.bucket}/{place.folder}")
    what = f"{len(keys)} objects of {place.location(name)}" + (", and the bucket if it is empty then" if clear else "")
    if not yes and (batch or not confirmed(f"delete {what}?")):
        for key in keys:
            say(key)
        say(f"would delete {what}\n\nhint: add --yes to do it")
        raise SystemExit(1)
    deleting.delete_keys(s3, place.bucket, keys, patience=patience, told=print)
    if clear and deleting.clear_bucket(s3, place.bucket, patience):
        print(place.bucket)
    elif clear:
        say(f"bucket {place.bucket} stays: other objects lie in it")
