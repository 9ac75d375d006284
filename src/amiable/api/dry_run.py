"""What every operation that changes something calls right before its first change."""

from typing import Protocol

from amiable.model.errors import DryRunOperation


class MayBeDry(Protocol):
    """A request with EC2's ``DryRun``."""

    @property
    def dry_run(self) -> bool | None:
        """Whether nothing may change."""
        ...


def raise_if_dry_run(request: MayBeDry) -> None:
    """Raises DryRunOperation where the request is a dry run: it was valid and allowed, and that was the question."""
    if request.dry_run:
        raise DryRunOperation()
