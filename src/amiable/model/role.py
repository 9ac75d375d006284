"""Roles, instance profiles, and which instance has which profile.

A role is what temporary credentials speak for: its trust policy says who may assume it, its own policies what it may do.  An instance
profile hands one role to instances.  Ids begin with IAM's AROA and AIPA.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

ROLE_PREFIX: Final = "AROA"
PROFILE_PREFIX: Final = "AIPA"
ROLES_MAX: Final = 1000
"""An account."""
PROFILES_MAX: Final = 1000
"""An account."""
TRUST_POLICY_CHARACTERS_MAX: Final = 2048
ROLE_POLICIES_CHARACTERS_MAX: Final = 10_240
"""All policies of one role together, spaces not counted."""
ROLE_POLICIES_LENGTH_MAX: Final = 131_072
"""The same with spaces: each request of a session reads them all.  As long as IAM lets one document be."""
SESSION_SECONDS_DEFAULT: Final = 3600
CHAINED_SESSION_SECONDS_MAX: Final = 3600
"""Of a role that another role's session assumes."""
TAGS_MAX: Final = 50

Tags = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Role:
    """One role; ``trust_policy`` is the text as it was given."""

    id: str
    account_id: str
    name: str
    path: str
    description: str | None
    trust_policy: str
    session_seconds_max: int
    tags: Tags
    created_at: datetime

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:role{self.path}{self.name}"


@dataclass(frozen=True, slots=True)
class InstanceProfile:
    """One instance profile, with its role when it has one."""

    id: str
    account_id: str
    name: str
    path: str
    role: Role | None
    tags: Tags
    created_at: datetime

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:instance-profile{self.path}{self.name}"


@dataclass(frozen=True, slots=True)
class ProfileAssociation:
    """That an instance has a profile; the ARN stays readable when the profile is deleted."""

    id: str
    account_id: str
    region: str
    instance_id: str
    profile_id: str
    profile_arn: str
    created_at: datetime
