"""``amiable bundle volume``: from a running system, or a folder, to a bundle or an image."""

import shlex
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from cyclopts import Parameter
from cyclopts.validators import Number

from amiable.cli.architecture import architecture_of
from amiable.cli.bundle.options import (
    Arch,
    AssuranceSigner,
    Assured,
    Batch,
    Cert,
    CloudCert,
    Key,
    User,
    account_of,
    cloud_certificate,
    mappings,
    product_codes,
    telling,
)
from amiable.cli.bundle.pem import need_pem, read_pem
from amiable.cli.bundle.recipe import warn
from amiable.cli.output import Progress, say
from amiable.cli.whole import whole
from amiable.model.errors import LocalRefusal
from amiable.model.units import MIB

if TYPE_CHECKING:
    from amiable.bundle.pipeline import Recipe
    from amiable.bundle.volume.filters import Filters
    from amiable.bundle.volume.image import Image, Wish

CLASSIC_SIZE_MIB = 10240
"""What ec2-bundle-vol makes, and the most that EC2 takes."""
SIZE_MIB_MAX = (1 << 24) - 1
"""A file system with 32-bit block numbers holds less than 16 TiB, and a manifest tells no more."""
LISTED_MAX = 200


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class What:
    """What of the volume goes into the image."""

    volume: Annotated[Path, Parameter(name=["--volume", "-v"], help="Mounted file system or folder.")] = Path("/")
    size: Annotated[
        int,
        Parameter(
            converter=whole,
            name=["--size", "-s"],
            validator=Number(gte=8, lte=SIZE_MIB_MAX),
            help="Of the whole image, MiB.",
        ),
    ] = CLASSIC_SIZE_MIB
    exclude: Annotated[
        tuple[str, ...],
        Parameter(
            name=["--exclude", "-e"],
            negative=(),
            show_default=False,
            help="PATH,… to leave out, * and ** allowed; absolute.",
        ),
    ] = ()
    include: Annotated[
        tuple[str, ...],
        Parameter(
            name=["--include", "-i"],
            negative=(),
            show_default=False,
            help="PATH,… to take though the filter would not.",
        ),
    ] = ()
    filter: Annotated[
        bool, Parameter(negative="--no-filter", help="Leave out secrets, histories, what belongs to this instance.")
    ] = True
    all: Annotated[bool, Parameter(name=["--all", "-a"], negative=(), help="Network file systems too.")] = False
    script: Annotated[
        Path | None, Parameter(name=["--script", "-S"], help="Program that is given the tree and may change it.")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Form:
    """What the image looks like."""

    partition: Annotated[
        Literal["none", "mbr", "gpt"] | None,
        Parameter(name=["--partition", "-P"], help="Default: as the volume's disk has it."),
    ] = None
    fs_type: Annotated[
        Literal["ext2", "ext3", "ext4"] | None, Parameter(help="Default: the volume's; ext4 for any other.")
    ] = None
    label: Annotated[str | None, Parameter(help="Of the file system. Default: the volume's.")] = None
    uuid: Annotated[UUID | None, Parameter(help="Of the file system. Default: the volume's.")] = None
    root_device: Annotated[
        str | None,
        Parameter(help="Root's name in fstab and boot menu, as /dev/sda1 or nvme0n1p1. Default: its UUID."),
    ] = None
    fstab: Annotated[Path | None, Parameter(help="File to use as /etc/fstab. Default: the volume's, adapted.")] = None
    generate_fstab: Annotated[bool, Parameter(negative=(), help="Write an fstab that mounts root only.")] = False
    grub_config: Annotated[
        Path | None, Parameter(help="File to use as boot menu. Default: the volume's where it fits, else a new one.")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Who bundles, and what the manifest says."""

    destination: Annotated[Path, Parameter(name=["--destination", "-d"], help="Folder for the bundle.")] = Path()
    prefix: Annotated[str, Parameter(name=["--prefix", "-p"], help="The bundle's name.")] = "image"
    image_only: Annotated[Path | None, Parameter(help="Make this image, and no bundle.")] = None
    cert: Cert = None
    privatekey: Key = None
    user: User = None
    ec2cert: CloudCert = None
    arch: Arch = None
    kernel: Annotated[str | None, Parameter(help="Default kernel (aki-…). Default: inherited.")] = None
    ramdisk: Annotated[str | None, Parameter(help="Default ramdisk (ari-…). Default: inherited.")] = None
    block_device_mapping: Annotated[
        str | None, Parameter(name=["--block-device-mapping", "-B"], help="VIRTUAL=DEVICE,… Default: inherited.")
    ] = None
    productcodes: Annotated[str | None, Parameter(help="Comma between. Default: inherited.")] = None
    inherit: Annotated[bool, Parameter(help="Take those from the instance metadata service.")] = True
    metadata_endpoint: Annotated[
        str | None,
        Parameter(env_var="AWS_EC2_METADATA_SERVICE_ENDPOINT", help="Default: http://169.254.169.254."),
    ] = None
    assurance: Assured = True
    assurance_key: AssuranceSigner = None
    force: Annotated[bool, Parameter(negative=(), help="Replace a bundle of that name.")] = False
    batch: Batch = False


_WHAT, _FORM, _BUNDLE = What(), Form(), Bundle()


def volume(*, what: What = _WHAT, form: Form = _FORM, bundle: Bundle = _BUNDLE) -> None:
    """Bundles a running system or a folder.  Prints the path of the manifest, or of the image.

    No loop device, no mount that others see, nothing changed in the volume.  Stop databases first: files are read one after the other.
    """
    from amiable.bundle.layout import who_refuses
    from amiable.bundle.new_file import new_folder
    from amiable.bundle.pipeline import check_free, check_recipe
    from amiable.bundle.volume.image import check_wish, make

    wish = wish_of(what, form)
    if bundle.image_only is not None:
        with Progress("image", 0) as progress:
            tell(make(wish, bundle.image_only, progress=telling(progress)))
        print(bundle.image_only)
        return
    check_wish(wish)  # before the metadata service is asked, which may be silent
    if not bundle.force and bundle.destination.is_dir():
        check_free(bundle.destination, bundle.prefix)
    warn(who_refuses(wish.size_bytes))
    recipe = recipe_of(bundle)
    check_recipe(recipe)
    with new_folder(bundle.destination):
        with tempfile.TemporaryDirectory(prefix=".amiable-volume-", dir=bundle.destination) as scratch:
            with Progress("image", 0) as progress:
                wish = replace(wish, outputs=(Path(scratch),))
                made = make(wish, Path(scratch) / recipe.name, progress=telling(progress))
            tell(made)
            manifest = write(replace(recipe, image=made.path), bundle)
    print(manifest)
    say(f"\nnext: amiable bundle upload -m {shlex.quote(str(manifest))} -b BUCKET")


def wish_of(what: What, form: Form) -> "Wish":
    """The image that the flags ask for; raises LocalRefusal where they contradict each other."""
    from amiable.bundle.volume.image import Wish

    if form.fstab is not None and form.generate_fstab:
        raise LocalRefusal("--fstab and --generate-fstab exclude each other", exit_code=2)
    device = form.root_device
    return Wish(
        volume=what.volume,
        size_bytes=what.size * MIB,
        filters=_filters(what),
        remote=what.all,
        scheme=form.partition,
        type=form.fs_type,
        label=form.label,
        uuid=form.uuid,
        root_device=f"/dev/{device}" if device and "/" not in device and "=" not in device else device,
        fstab=_content(form.fstab),
        generate_fstab=form.generate_fstab,
        grub_config=_content(form.grub_config),
        script=what.script,
    )


def tell(made: "Image") -> None:
    """Says what was not taken as it stood, and what was made."""
    from amiable.bundle.volume.selection import printable

    for heading, entries in (("left out", made.report.left_out), ("note", made.report.remarks)):
        for path, why in entries[:LISTED_MAX]:
            say(f"{heading}: {printable(path)}: {why}")
        if len(entries) > LISTED_MAX:
            say(f"{heading}: {len(entries) - LISTED_MAX} more")
    identity = made.identity
    say(
        f"image: {identity.type}, UUID {identity.uuid}, label {identity.label or 'none'}, partitions {made.scheme}, "
        f"{made.measure.entries} entries, {-(-made.measure.data_bytes // MIB)} MiB of data"
    )


def recipe_of(flags: Bundle) -> "Recipe":
    """What the flags, and the instance where one is inherited from, say to bundle; its image is yet to be made."""
    from amiable.bundle.pipeline import Recipe
    from amiable.bundle.volume.inherited import Inherited, inherit
    from amiable.cli.instance_metadata import reader

    architecture = architecture_of(flags.arch)
    private_key = need_pem(flags.privatekey, "-k", "EC2_PRIVATE_KEY")
    certificate = need_pem(flags.cert, "-c", "EC2_CERT")
    mapping = None if flags.block_device_mapping is None else mappings(flags.block_device_mapping)
    inherited = inherit(reader(flags.metadata_endpoint)) if flags.inherit else Inherited()
    return Recipe(
        image=Path(flags.prefix),
        name=flags.prefix,
        account_id=account_of(flags.user),
        architecture=architecture,
        certificate_pem=certificate,
        private_key_pem=private_key,
        cloud_certificate_pem=cloud_certificate(flags.ec2cert),
        kernel_id=flags.kernel or inherited.kernel_id,
        ramdisk_id=flags.ramdisk or inherited.ramdisk_id,
        block_device_mapping=inherited.block_device_mapping if mapping is None else mapping,
        product_codes=inherited.product_codes if flags.productcodes is None else product_codes(flags.productcodes),
        ancestor_ami_ids=inherited.ancestor_ami_ids,
        assurance_key_pem=read_pem(flags.assurance_key),
    )


def write(recipe: "Recipe", flags: Bundle) -> Path:
    """The manifest of a new bundle by ``recipe``."""
    from amiable.bundle import pipeline
    from amiable.bundle.recorder import Recorder

    with Progress("bundle", 0) as progress, Recorder() if flags.assurance else nullcontext() as recorder:
        return pipeline.create(
            recipe, flags.destination, force=flags.force, progress=telling(progress), recorder=recorder
        )


def _filters(what: What) -> "Filters":
    from amiable.bundle.volume.filters import Filters

    return Filters(
        secrets=what.filter,
        excluded=_below(what.exclude, what.volume),
        included=_below(what.include, what.volume),
    )


def _below(paths: tuple[str, ...], volume: Path) -> tuple[str, ...]:
    """Absolute paths, comma between, as paths of the image; refuses what lies outside the volume."""
    found = []
    for path in (piece for group in paths for piece in group.split(",") if piece):
        try:
            found.append(str(Path(path).relative_to(volume.absolute())))
        except ValueError:
            raise LocalRefusal(
                f"{path} does not lie below {volume}", hint="absolute paths of this system", exit_code=2
            ) from None
    return tuple(found)


def _content(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise LocalRefusal(f"{path} cannot be read: {error.strerror}", exit_code=74) from error
