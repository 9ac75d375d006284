"""The architectures that a guest may have here, under the names that people give them."""

import platform
from typing import Final

from amiable.model.errors import LocalRefusal

ARCHITECTURES: Final = ("x86_64", "i386")
_ALIASES: Final = {"amd64": "x86_64", "i486": "i386", "i586": "i386", "i686": "i386"}


def architecture_of(given: str | None) -> str:
    """``given``, else this host's, by EC2's name; refuses what Amiable cannot boot."""
    named = given if given is not None else platform.machine()
    found = _ALIASES.get(named.lower(), named.lower())
    if found not in ARCHITECTURES:
        raise LocalRefusal(
            f"guests of architecture {named} do not run here: it is {' or '.join(ARCHITECTURES)}",
            hint="name the image's with --arch x86_64 or --arch i386",
            exit_code=2,
        )
    return found
