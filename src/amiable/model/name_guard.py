"""The name guard: an account's protection against an image that only looks like the one it means.

Whoever takes the newest image of a name, and does not say whose, takes a stranger's as soon as one publishes a newer image of that
name (CVE-2018-15869, "whoAMI").  The guard remembers by which names the account looked for images without naming an owner, and at
a launch asks whether the image is newer than, and was found by the same name as, one that the account trusts.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class NameGuardMode(StrEnum):
    OFF = "off"
    AUDIT = "audit"  # the launch is done, and recorded as suspect
    ENFORCE = "enforce"  # the launch is refused


@dataclass(frozen=True, slots=True)
class NameGuard:
    """An account's launch policy.  It trusts its own images, those of ``trusted`` accounts, and those of owners with an alias."""

    mode: NameGuardMode = NameGuardMode.OFF
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Why a launch is suspect: the image, the name that it was looked for by, and the older trusted image of that name."""

    image_id: str
    image_name: str
    image_owner_id: str
    pattern: str
    trusted_image_id: str


@dataclass(frozen=True, slots=True)
class NameGuardFinding:
    """A suspect launch as it was recorded; ``mode`` says whether it was done (audit) or refused (enforce)."""

    id: str
    region: str
    suspicion: Suspicion
    mode: NameGuardMode
    found_at: datetime
