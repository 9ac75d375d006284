"""``amiable image build``: a house image, from Debian's packages to a public image in one command; for the administrator.

It builds on the machine where it runs.  What it makes belongs to the installation's house account, as which it acts by credentials
that last an hour.
"""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

from cyclopts import Parameter

from amiable.bundle.house import bootstrap
from amiable.bundle.house.recipe import DISK_BYTES, ROOT_DEVICE, USER, Kind, Recipe, recipe
from amiable.cli.client import Credentials, call, client, the_image
from amiable.cli.image import refuse_taken_name, say_equal
from amiable.cli.output import Output, say, show_one
from amiable.cli.upload import delete_after_failure, upload_snapshot
from amiable.model.errors import LocalRefusal
from amiable.model.units import human_bytes
from amiable.rules.register import check_name

BLOCK_BYTES = 512
"""What ``st_blocks`` counts."""


def build(
    kind: Annotated[Kind, Parameter(help="small: Debian 12 with systemd. small-sysv: with System V init.")],
    /,
    *,
    name: Annotated[str | None, Parameter(help="Name of the image. Default: KIND-debian-12-DATE.")] = None,
    keep: Annotated[Path | None, Parameter(help="Also keep the disk image in this file.")] = None,
    disk: Annotated[Path | None, Parameter(help="Build nothing: take this disk image, which --keep kept.")] = None,
    output: Output = "id",
) -> None:
    """Builds a house image, which every account may launch (administrator only).  Prints the image id.

    Packages come from the sources of this host's apt.  It takes a minute or two.
    """
    chosen, called = recipe(kind), name or default_name(kind, datetime.now(UTC))
    check_name(called)
    if keep is not None:
        check_place(keep, is_built=disk is None)
    if disk is None:
        bootstrap.require_host()
    elif not disk.is_file():
        raise LocalRefusal(f"there is no disk image {disk}", exit_code=74)
    refuse_taken_name(client("ec2", credentials=house_credentials()), called)
    with nullcontext(disk) if disk is not None else built(chosen, keep) as ready:
        credentials = house_credentials()  # again: the build may have taken long
        image = publish(ready, chosen, called, credentials)
    found = the_image(client("ec2", credentials=credentials), image)
    show_one(found, output, identifier="ImageId")
    say_equal(image)
    say(f"\nnext: amiable launch {image}, and log in as {USER}")


def check_place(keep: Path, *, is_built: bool) -> None:
    """Refuses before the build a file that is there already, a folder that is not, and a disk that is kept already."""
    if not is_built:
        raise LocalRefusal("--keep keeps what is built, and --disk builds nothing", exit_code=2)
    if keep.exists():
        raise LocalRefusal(f"{keep} is there already", hint="choose another name for --keep, or remove it")
    if not keep.parent.is_dir():
        raise LocalRefusal(f"there is no folder {keep.parent} for --keep", exit_code=74)


def default_name(kind: str, now: datetime) -> str:
    """One name a day: images are rebuilt for newer packages."""
    return f"{kind}-debian-12-{now:%Y%m%d}"


def house_credentials() -> Credentials:
    """An hour's credentials of the house account; refused to who is not the administrator."""
    given = call("POST", "/house-session", {})
    return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


@contextmanager
def built(chosen: Recipe, keep: Path | None) -> Iterator[Path]:
    """The disk image, while the block lasts, or in ``keep`` for good."""
    with ExitStack() as undo:
        if keep is None:
            partial = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="amiable-house-disk-"))) / "disk.img"
        else:
            partial = keep.with_name(f".{keep.name[:64]}.{secrets.token_hex(8)}.partial")
        sources = bootstrap.package_sources()
        say(f"building {chosen.title}")
        began = monotonic()
        bootstrap.build_disk(chosen.system, sources, partial, size_bytes=DISK_BYTES)
        data = human_bytes(partial.stat().st_blocks * BLOCK_BYTES)
        say(f"built in {monotonic() - began:.0f} s: {data} of {human_bytes(DISK_BYTES)}")
        yield partial.rename(keep) if keep is not None else partial


def publish(disk: Path, chosen: Recipe, name: str, credentials: Credentials) -> str:
    """The id of a new public image of ``disk``; on an error, and on Ctrl-C, neither it nor its snapshot stays."""
    ec2 = client("ec2", credentials=credentials)
    snapshot = upload_snapshot(disk, f"{name}, a house image", credentials=credentials)
    image = ""
    try:
        image = ec2.register_image(
            Name=name,
            Description=f"{chosen.title}, log in as {USER}",
            Architecture="x86_64",
            VirtualizationType="hvm",
            RootDeviceName=ROOT_DEVICE,
            EnaSupport=True,  # Debian's cloud kernel has the driver
            BlockDeviceMappings=[
                {"DeviceName": ROOT_DEVICE, "Ebs": {"SnapshotId": snapshot, "DeleteOnTermination": True}}
            ],
        )["ImageId"]
        ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"Group": "all"}]})
    except BaseException:  # Ctrl-C too
        if image:
            deregister_after_failure(ec2, image)
        delete_after_failure(ec2, snapshot, "stays with the house account")
        raise
    return str(image)


def deregister_after_failure(ec2: Any, image: str) -> None:
    """Deregisters ``image``; where that fails too, says so and leaves the first error to be told."""
    from amiable.bundle.whole_answers import FAILURES

    try:
        ec2.deregister_image(ImageId=image)
    except FAILURES:
        say(f"{image} stays, and is not public")
