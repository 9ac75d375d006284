"""Flags that several verbs share, and what is read from them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from amiable.cli.client import call
from amiable.cli.output import Progress
from amiable.model.errors import LocalRefusal

if TYPE_CHECKING:
    from amiable.model.manifest import Mapping

Cert = Annotated[Path | None, Parameter(name=["--cert", "-c"], env_var="EC2_CERT", help="The user's certificate, PEM.")]
Key = Annotated[
    Path | None, Parameter(name=["--privatekey", "-k"], env_var="EC2_PRIVATE_KEY", help="The private key, PEM.")
]
ManifestPath = Annotated[Path, Parameter(name=["--manifest", "-m"], help="The bundle's manifest.")]
Source = Annotated[
    Path | None, Parameter(name=["--source", "-s"], help="Folder of the parts. Default: the manifest's.")
]
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


def cloud_certificate() -> str:
    """The image-bundling certificate of the server that the environment names, PEM."""
    return str(call("GET", "/bundling-certificate")["Certificate"])


def read_pem(path: Path | None) -> bytes | None:
    """The bytes of the file at ``path``, if one is named."""
    return None if path is None else path.read_bytes()


def need_pem(path: Path | None, flag: str, variable: str) -> bytes:
    """The bytes of the file at ``path``; refuses where neither ``flag`` nor ``variable`` names one."""
    if path is None:
        raise LocalRefusal(
            f"{flag} is missing", hint=f'pass {flag}, or set {variable}: eval "$(amiable env)"', exit_code=2
        )
    return path.read_bytes()


def telling(progress: Progress) -> Callable[[int, int], None]:
    """A callback of (done, total) that moves ``progress``."""

    def tell(done: int, total: int) -> None:
        progress.total_bytes = total
        progress.advance(done - progress.done_bytes)

    return tell
