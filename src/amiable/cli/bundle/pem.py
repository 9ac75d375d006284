"""Keys and certificates that the command line names: read, and what is wrong with a file told by the file's name."""

import re
from pathlib import Path
from typing import Final, Literal

from amiable.model.errors import LocalRefusal

Kind = Literal["certificate", "private key", "public key"]

_LABELS: Final[dict[Kind, re.Pattern[bytes]]] = {
    "certificate": re.compile(rb"-----BEGIN CERTIFICATE-----"),
    "private key": re.compile(rb"-----BEGIN (RSA |EC |DSA )?PRIVATE KEY-----"),
    "public key": re.compile(rb"-----BEGIN (CERTIFICATE|PUBLIC KEY)-----"),
}
"""What a file of each kind holds; a certificate holds a public key too."""

_WANTED: Final[dict[Kind, tuple[str, str]]] = {
    "certificate": ("no certificate", "CERTIFICATE"),
    "private key": ("no private key", "PRIVATE KEY"),
    "public key": ("neither a public key nor a certificate", "PUBLIC KEY"),
}

_ENCRYPTED: Final = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED")
_OPENSSH: Final = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_IO_ERROR: Final = 74


def read_pem(path: Path | None, kind: Kind = "private key") -> bytes | None:
    """The bytes of the file at ``path``, if one is named; refuses, by name, one that holds nothing of its kind."""
    if path is None:
        return None
    try:
        found = path.read_bytes()
    except OSError as error:
        raise LocalRefusal(f"{kind} {path} cannot be read: {error.strerror}", exit_code=_IO_ERROR) from error
    if kind == "private key":
        _check_form(path, found)
    if not _LABELS[kind].search(found):
        words, label = _WANTED[kind]
        raise LocalRefusal(f"{path} holds {words}", hint=f"give a PEM file, in which stands -----BEGIN {label}-----")
    return found


def need_pem(path: Path | None, flag: Literal["-c", "-k"], variable: str) -> bytes:
    """The bytes of the certificate (-c) or private key (-k) at ``path``; refuses where neither flag nor variable names one."""
    found = read_pem(path, "certificate" if flag == "-c" else "private key")
    if found is None:
        raise LocalRefusal(
            f"{flag} is missing", hint=f'pass {flag}, or set {variable}: eval "$(amiable env)"', exit_code=2
        )
    return found


def _check_form(path: Path, content: bytes) -> None:
    """Refuses a private key that lies in another form than is read."""
    if _ENCRYPTED.search(content):
        raise LocalRefusal(f"{path} is protected by a passphrase", hint=f"openssl pkey -in {path} -out PLAIN-KEY")
    if _OPENSSH in content:
        raise LocalRefusal(
            f"{path} is a key for SSH, in OpenSSH's own form", hint="give the private key of the certificate, PEM"
        )
