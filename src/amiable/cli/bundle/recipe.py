"""Flags of what makes a bundle, shared by ``create`` and ``publish``: the image, as whom, for whom."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from amiable.cli.architecture import architecture_of
from amiable.cli.bundle.options import (
    Arch,
    AssuranceSigner,
    Assured,
    Cert,
    CloudCert,
    Key,
    User,
    account_of,
    cloud_certificate,
    mappings,
    product_codes,
)
from amiable.cli.bundle.pem import need_pem, read_pem
from amiable.cli.output import say
from amiable.cli.whole import whole
from amiable.model.errors import LocalRefusal

if TYPE_CHECKING:
    from amiable.bundle.layout import Layout
    from amiable.bundle.pipeline import Recipe
    from amiable.bundle.recorder import Recorder

STANDARD_INPUT = Path("-")

Image = Annotated[
    Path,
    Parameter(
        name=["--image", "-i"], allow_leading_hyphen=True, help="Disk image, block device, or - for standard input."
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Making:
    """The flags of ec2-bundle-image, and ours."""

    prefix: Annotated[str | None, Parameter(name=["--prefix", "-p"], help="Name. Default: the image's.")] = None
    cert: Cert = None
    privatekey: Key = None
    user: User = None
    ec2cert: CloudCert = None
    arch: Arch = None
    kernel: Annotated[str | None, Parameter(help="Default kernel (aki-…).")] = None
    ramdisk: Annotated[str | None, Parameter(help="Default ramdisk (ari-…).")] = None
    block_device_mapping: Annotated[
        str, Parameter(name=["--block-device-mapping", "-B"], help="VIRTUAL=DEVICE,… as in ami=sda1,swap=sda2.")
    ] = ""
    productcodes: Annotated[str, Parameter(help="Product codes, comma between.")] = ""
    image_type: Annotated[
        Literal["machine", "kernel", "ramdisk"], Parameter(name="--type", help="What the bundle becomes.")
    ] = "machine"
    image_size: Annotated[int | None, Parameter(converter=whole, help="Bytes that come through a pipe, with -i -.")] = (
        None
    )
    level: Annotated[int, Parameter(converter=whole, help="0 (fastest) to 3 (smallest).")] = 2
    assurance: Assured = True
    assurance_key: AssuranceSigner = None

    def name_for(self, image: Path) -> str:
        """The bundle's name."""
        if self.prefix is None and image == STANDARD_INPUT:
            raise LocalRefusal("standard input has no name", hint="name the bundle with -p", exit_code=2)
        return self.prefix if self.prefix is not None else image.name

    @contextmanager
    def recipe(self, image: Path) -> "Iterator[Recipe]":
        """What the flags say to make of ``image``, which is looked at before anything is asked of a server."""
        from amiable.bundle import pipeline

        architecture = architecture_of(self.arch)
        name = self.name_for(image)
        private_key = need_pem(self.privatekey, "-k", "EC2_PRIVATE_KEY")
        certificate = need_pem(self.cert, "-c", "EC2_CERT")
        mapping = mappings(self.block_device_mapping)
        if self.assurance_key is not None and not self.assurance:
            raise LocalRefusal("--no-assurance leaves nothing for --assurance-key to sign", exit_code=2)
        with open_source(image, self.image_size, is_machine=self.image_type == "machine") as source:
            yield pipeline.Recipe(
                image=source,
                name=name,
                account_id=account_of(self.user),
                architecture=architecture,
                certificate_pem=certificate,
                private_key_pem=private_key,
                cloud_certificate_pem=cloud_certificate(self.ec2cert),
                kernel_id=self.kernel,
                ramdisk_id=self.ramdisk,
                block_device_mapping=mapping,
                product_codes=product_codes(self.productcodes),
                image_type=self.image_type,
                level=self.level,
                assurance_key_pem=read_pem(self.assurance_key),
            )

    @contextmanager
    def recorder(self) -> "Iterator[Recorder | None]":
        """What notes the assurance, if there is to be one."""
        from amiable.bundle.recorder import Recorder

        if self.assurance:
            with Recorder() as recorder:
                yield recorder
        else:
            yield None


@contextmanager
def open_source(image: Path, image_size: int | None, *, is_machine: bool) -> "Iterator[Layout]":
    """The image, opened; refuses a disk of another format, warns of one that the classic tools will not take."""
    from amiable.bundle.layout import of_input, open_image_file, who_refuses

    if image == STANDARD_INPUT:
        layout = of_input(sys.stdin.fileno(), image_size)
        warn(who_refuses(layout.size_bytes))
        yield layout
        return
    if image_size is not None:
        raise LocalRefusal("--image-size is for what comes through a pipe", hint="-i - --image-size BYTES", exit_code=2)
    with open_image_file(image) as layout:
        if is_machine and image.is_file():
            check_raw_disk(image)
        warn(who_refuses(layout.size_bytes))
        yield layout


def warn(words: str | None) -> None:
    """Says ``words`` as a warning, if there are any."""
    if words is not None:
        say(f"warning: {words}")


def check_raw_disk(image: Path) -> None:
    """Refuses an image that is no raw disk."""
    from amiable.cli.upload import check_raw

    with image.open("rb") as opened:
        check_raw(opened, image.stat().st_size, image.name)
