"""An organization of accounts, in units below units, and the ARNs by which images are shared with them.

    arn:aws:organizations::MANAGEMENT-ACCOUNT:organization/o-…
    arn:aws:organizations::MANAGEMENT-ACCOUNT:ou/o-…/ou-…

EC2 never resolves an id to an ARN: a launch permission names the whole of it.  Source: AWS Organizations, "ARN formats".
"""

import re
from dataclasses import dataclass
from typing import Final

ORGANIZATION_ARN: Final = re.compile(r"arn:aws:organizations::[0-9]{12}:organization/o-[a-z0-9]{10,32}")
UNIT_ARN: Final = re.compile(r"arn:aws:organizations::[0-9]{12}:ou/o-[a-z0-9]{10,32}/ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}")


@dataclass(frozen=True, slots=True)
class Organization:
    """One organization; ``account_id`` is its management account."""

    id: str
    account_id: str
    name: str

    @property
    def arn(self) -> str:
        return f"arn:aws:organizations::{self.account_id}:organization/{self.id}"


@dataclass(frozen=True, slots=True)
class OrganizationalUnit:
    """One unit; ``parent_id`` is the unit above it, None directly below the root."""

    id: str
    organization: Organization
    parent_id: str | None
    name: str

    @property
    def arn(self) -> str:
        return f"arn:aws:organizations::{self.organization.account_id}:ou/{self.organization.id}/{self.id}"


@dataclass(frozen=True, slots=True)
class Member:
    """An account's place: its organization, and the unit that it lies in, None directly below the root."""

    account_id: str
    organization_id: str
    unit_id: str | None
