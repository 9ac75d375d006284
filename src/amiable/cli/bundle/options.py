"""Flags that several verbs share, and what is read from them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from amiable.cli.bundle.pem import read_pem
from amiable.cli.client import call, client
from amiable.cli.output import Progress
from amiable.cli.whole import whole
from amiable.model.errors import LocalRefusal

if TYPE_CHECKING:
    from amiable.model.manifest import Mapping

Cert = Annotated[
    Path | None,
    Parameter(name=["--cert", "-c"], env_var=["EC2_CERT", "EUCA_CERT"], help="The user's certificate, PEM."),
]
Key = Annotated[
    Path | None,
    Parameter(
        name=["--privatekey", "-k"], env_var=["EC2_PRIVATE_KEY", "EUCA_PRIVATE_KEY"], help="The private key, PEM."
    ),
]
User = Annotated[
    str | None, Parameter(name=["--user", "-u"], env_var="EC2_USER_ID", help="Account. Default: asked of the server.")
]
CloudCert = Annotated[
    Path | None, Parameter(env_var="EUCALYPTUS_CERT", help="The cloud's certificate. Default: asked of the server.")
]
Arch = Annotated[str | None, Parameter(name=["--arch", "-r"], help="x86_64 or i386. Default: this host's.")]
Assured = Annotated[bool, Parameter(help="Add NAME.assurance.json: SHA-256s, random access.")]
AssuranceSigner = Annotated[
    Path | None, Parameter(help="Ed25519 or RSA key that signs the assurance, PEM. Default: -k.")
]
ManifestPath = Annotated[Path, Parameter(name=["--manifest", "-m"], help="The bundle's manifest.")]
Source = Annotated[
    Path | None, Parameter(name=["--source", "-s"], help="Folder of the parts. Default: the manifest's.")
]
Bucket = Annotated[str, Parameter(name=["--bucket", "-b"], help="BUCKET or BUCKET/PREFIX.")]
Acl = Annotated[
    Literal["aws-exec-read", "ec2-bundle-read", "public-read", "private"], Parameter(help="Who may read it.")
]
Location = Annotated[
    str | None, Parameter(help="Where the bucket is made; one elsewhere is refused. Default: the region.")
]
Workers = Annotated[int, Parameter(converter=whole, validator=Number(gte=1, lte=64), help="How many parts at once.")]
Batch = Annotated[bool, Parameter(negative=(), help="Ask nothing.")]
WaiveSignature = Annotated[bool, Parameter(negative=(), help="Open it though unsigned or signed by someone unknown.")]
WaiveImageDigest = Annotated[
    bool, Parameter(negative=(), help="Open it though the image's digest is wrong (euca2ools before 1.3.2).")
]


def mappings(text: str) -> "tuple[Mapping, ...]":
    """``VIRTUAL=DEVICE,…`` as block device mappings; refuses what is not of that form."""
    from amiable.model.manifest import Mapping

    pairs = [piece.partition("=") for piece in text.split(",") if piece]
    for virtual, _, device in pairs:
        if not virtual or not device:
            raise LocalRefusal(f"{text!r} is no block device mapping", hint="-B ami=sda1,root=/dev/sda1", exit_code=2)
    if len({virtual for virtual, _, _ in pairs}) != len(pairs):
        raise LocalRefusal(f"{text!r} maps a name twice", exit_code=2)
    return tuple(Mapping(virtual, device) for virtual, _, device in pairs)


def product_codes(text: str) -> tuple[str, ...]:
    """The codes in ``text``, comma between."""
    return tuple(filter(None, text.split(",")))


def need_name(manifest: str | None, prefix: str | None) -> str:
    """The manifest's file name, from ``-m`` or made of ``-p``: one of them; refuses what is no plain name."""
    if (manifest is None) == (prefix is None):
        raise LocalRefusal("which bundle?", hint="either -m NAME.manifest.xml or -p NAME", exit_code=2)
    name = manifest if manifest is not None else f"{prefix}.manifest.xml"
    if "/" in name or name in ("", ".", ".."):
        raise LocalRefusal(f"{name!r} is no plain name", hint="the folder goes to -b BUCKET/PREFIX", exit_code=2)
    return name


def account_of(user: str | None) -> str:
    """The account that ``user`` names, hyphens allowed, else that of the server's caller."""
    return str(user or client("sts").get_caller_identity()["Account"]).replace("-", "")


def cloud_certificate(path: Path | None) -> bytes:
    """The certificate at ``path``, else the image-bundling one of the server that the environment names, PEM."""
    return read_pem(path, "certificate") or str(call("GET", "/bundling-certificate")["Certificate"]).encode()


def telling(progress: Progress) -> Callable[[int, int], None]:
    """A callback of (done, total) that moves ``progress``."""

    def tell(done: int, total: int) -> None:
        progress.total_bytes = total
        progress.advance(done - progress.done_bytes)

    return tell
