"""``amiable bundle download``: a bundle's files out of a bucket."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from amiable.cli.bundle.connection import Connection
from amiable.cli.bundle.options import Batch, Bucket, Workers, need_name
from amiable.cli.bundle.pem import read_pem
from amiable.cli.output import Progress, say


def download(
    *,
    bucket: Bucket,
    manifest: Annotated[
        str | None, Parameter(name=["--manifest", "-m"], help="The manifest's name in the bucket.")
    ] = None,
    prefix: Annotated[str | None, Parameter(name=["--prefix", "-p"], help="The bundle's name, instead of -m.")] = None,
    directory: Annotated[Path, Parameter(name=["--directory", "-d"], help="Folder for the bundle.")] = Path(),
    cert: Annotated[Path | None, Parameter(name=["--cert", "-c"], help="Who must have signed it, PEM.")] = None,
    privatekey: Annotated[
        Path | None, Parameter(name=["--privatekey", "-k"], help="The private key that must open it, PEM.")
    ] = None,
    force: Annotated[bool, Parameter(negative=(), help="Replace files that are something else.")] = False,
    workers: Workers = 4,
    batch: Batch = False,
    connection: Connection = Connection(),
) -> None:
    """Downloads a bundle over S3, every part's SHA-1 checked.  Prints the manifest's path.

    Parts that lie there whole are not fetched again: after a failure, call it
    again.  With -k a bundle that the key does not open is refused before its
    parts are fetched; with -c so is one with another's signature.
    """
    from amiable.bundle import keys
    from amiable.bundle.download import DownloadOrder, fetch_manifest
    from amiable.bundle.download import download as fetch
    from amiable.bundle.manifest_xml import verify_signature
    from amiable.bundle.transfer import read_place
    from amiable.bundle.unbundle import unwrap_keys

    place, name = read_place(bucket), need_name(manifest, prefix)
    s3, patience = connection.s3(), connection.patience()
    document, found = fetch_manifest(s3, place, name, patience)
    certificates, private_key = read_pem(cert, "certificate"), read_pem(privatekey)
    if certificates is not None:
        verify_signature(found, certificates)
    if private_key is not None:
        unwrap_keys(found, keys.load_private_key(private_key))
    order = DownloadOrder(place, name, directory, force, workers)
    with Progress("download", found.bundled_size_bytes) as progress:
        done = fetch(s3, order, document=document, patience=patience, advance=progress.advance)
    if done.kept:
        say(f"{done.kept} of {done.kept + done.fetched} parts were there already")
    print(done.manifest_path)
