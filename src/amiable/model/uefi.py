"""One variable of UEFI's firmware, as every store of them holds it."""

from dataclasses import dataclass
from typing import Final

NON_VOLATILE: Final = 0x01
TIME_AUTHENTICATED: Final = 0x20
"""Attribute: whoever writes the variable signs it, with a time that only grows."""
TIME_BYTES: Final = 16
GUID_BYTES: Final = 16

GLOBAL: Final = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")
"""EFI_GLOBAL_VARIABLE: the GUID of PK, KEK, BootOrder, …"""
IMAGE_SECURITY: Final = bytes.fromhex("cbb219d73a3d9645a3bcdad00e67656f")
"""EFI_IMAGE_SECURITY_DATABASE: the GUID of db and dbx."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable; ``guid`` as it lies in memory.  ``digest`` names the signer of an authenticated one that is no key of Secure Boot."""

    name: str
    guid: bytes
    attributes: int
    data: bytes
    timestamp: bytes | None = None  # EFI_TIME, 16 octets; None: none, which is stored as zeros
    digest: bytes | None = None

    @property
    def is_authenticated(self) -> bool:
        """Whether a timestamp and a digest go with it."""
        return bool(self.attributes & TIME_AUTHENTICATED)


def enforces_secure_boot(variables: tuple[Variable, ...]) -> bool:
    """Whether a platform key is enrolled: firmware that knows Secure Boot then starts only what its keys have signed."""
    return any(it.name == "PK" and it.guid == GLOBAL and it.data for it in variables)
