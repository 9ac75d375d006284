"""What a bundle must not take along unasked: secrets, histories and what belongs to one instance.

The list of ec2-bundle-vol, and what came after it.  Two of its rules broke the
systems they met, and are narrowed: a ``*.pem`` or ``*.key`` is left out only where a private key stands in it, not where it is a
certificate; a ``*.gpg`` not where the package manager keeps its public keyrings.

A pattern without a slash is matched with the last name of a path, one with slashes with as many last names; a leading slash binds it
to the volume; ``**`` crosses slashes.  ``--include`` beats every pattern here, ``--no-filter`` drops them all.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

EDITOR: Final = ("#*#", ".#*", "*.sw", "*.swo", "*.swp", "*~")
PRIVATE: Final = (
    "*.priv", "*id_rsa*", "*id_dsa*", "*id_ecdsa*", "*id_ed25519*", "*.gpg", "*.jks", "*.p12", "*.pfx", "*.kdbx",
    ".ssh/authorized_keys", ".ssh/authorized_keys2", ".gnupg", ".aws/credentials", ".aws/cli/cache", ".aws/sso/cache",
    ".netrc", ".git-credentials", ".docker/config.json", ".config/gcloud", ".azure", ".kube/config", ".pgpass", ".my.cnf",
    ".vault-token", "amiable/installation", "amiable/accounts",
)  # fmt: skip
PUBLIC: Final = ("/usr/share/**", "/etc/apt/**", "/etc/pki/rpm-gpg/**", "/usr/lib/**", "/var/lib/dpkg/**")
"""Where a name that looks private is a package's own: keyrings, documentation, modules."""
PERHAPS_PRIVATE: Final = ("*.pem", "*.key")
PRIVATE_MARK: Final = b"PRIVATE KEY"
READ_BYTES_MAX: Final = 1 << 20

HISTORY: Final = (".*_history", ".lesshst", ".viminfo")
INSTANCE: Final = (
    "/var/lib/cloud/instance", "/var/lib/cloud/instances", "/var/lib/cloud/data", "/var/lib/cloud/sem",
    "/var/lib/systemd/random-seed", "/var/lib/dhcp/*.leases",
)  # fmt: skip
"""Of one instance: its user data and decisions, its seed, its leases.  The next boot makes its own."""
HOST_KEYS: Final = ("/etc/ssh/ssh_host_*",)
"""Left out where cloud-init makes new ones; without it the SSH daemon would not start."""
EMPTIED: Final = ("etc/machine-id",)
"""Written with nothing in it: the next boot makes its own."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What to leave out by name; paths are relative to the volume."""

    secrets: bool = True
    excluded: tuple[str, ...] = ()
    included: tuple[str, ...] = ()
    host_keys: bool = False

    def reason(self, path: str) -> str | None:
        """Why ``path`` is left out by its name alone; what lies below it goes with it."""
        if _any(self.excluded, path, rooted=True):
            return "--exclude"
        if not self.secrets or _any(self.included, path, rooted=True):
            return None
        if _any(PRIVATE, path) and not _any(PUBLIC, path):
            return "private"
        for why, patterns in (("history", HISTORY), ("editor's file", EDITOR), ("of one instance", INSTANCE)):
            if _any(patterns, path):
                return why
        return "SSH host key" if self.host_keys and _any(HOST_KEYS, path) else None

    def depends_on_content(self, path: str) -> bool:
        """Whether ``path`` is left out where a private key stands in it."""
        return self.secrets and _any(PERHAPS_PRIVATE, path) and not _any(self.included, path, rooted=True)


def _any(patterns: tuple[str, ...], path: str, *, rooted: bool = False) -> bool:
    """Whether one of ``patterns`` matches ``path``; ``rooted`` ones begin at the volume, with or without a slash."""
    return bool(patterns) and _matcher(patterns, rooted).fullmatch(path) is not None


@lru_cache(maxsize=256)
def _matcher(patterns: tuple[str, ...], rooted: bool) -> re.Pattern[str]:
    pieces = []
    for pattern in patterns:
        inside = "".join(_GLOBS.get(piece, re.escape(piece)) for piece in re.split(r"(\*\*|\*|\?)", pattern.strip("/")))
        pieces.append(inside if rooted or pattern.startswith("/") else f"(?:.*/)?{inside}")
    return re.compile("|".join(pieces), re.DOTALL)


_GLOBS: Final = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
