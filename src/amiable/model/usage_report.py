"""A report of who, beside its owner, uses an image.

    pending ──counted──▶ available        a report is counted once, when it is made, and kept for 30 days
       └──────given up──▶ error

Source: EC2 API, CreateImageUsageReport.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

KEPT: Final = timedelta(days=30)
VERSION_DEPTH: Final = 20
"""How many versions of a launch template count unless the request says so."""
VERSION_DEPTH_MAX: Final = 10_000

INSTANCE: Final = "ec2:Instance"
LAUNCH_TEMPLATE: Final = "ec2:LaunchTemplate"
PARAMETER: Final = "ssm:Parameter"
IMAGE_RECIPE: Final = "imagebuilder:ImageRecipe"
CONTAINER_RECIPE: Final = "imagebuilder:ContainerRecipe"
"""What may refer to an image.  Nothing here keeps recipes, so none does."""


class ReportState(StrEnum):
    PENDING = "pending"
    AVAILABLE = "available"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class ReportType:
    """One type of resource that a report counts; ``version_depth`` is of launch templates."""

    resource_type: str
    version_depth: int | None = None


@dataclass(frozen=True, slots=True)
class UsageReport:
    """One report; ``account_ids`` None counts every other account's use; ``tags`` are the owner's."""

    id: str
    account_id: str
    region: str
    image_id: str
    types: tuple[ReportType, ...]
    account_ids: tuple[str, ...] | None
    created_at: datetime
    state: ReportState = ReportState.PENDING
    state_reason: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def expires_at(self) -> datetime:
        """When it goes."""
        return self.created_at + KEPT


@dataclass(frozen=True, slots=True)
class UsageEntry:
    """How many resources of one type of one account use the image."""

    report: UsageReport
    resource_type: str
    account_id: str
    usage_count: int
