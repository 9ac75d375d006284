"""What retirement refuses: the Recycle Bin's own exceptions, and EC2's words for what is protected, locked or binned.

Sources: Recycle Bin API reference 2021-06-15; EC2 API error codes.
"""

from typing import ClassVar

from amiable.model.errors import Refusal


class RbinRefusal(Refusal):
    """A Recycle Bin exception: ``exception`` is its type, ``reason`` one of the model's reasons."""

    STATUSES: ClassVar[dict[str, int]] = {
        "AccessDeniedException": 403,
        "ValidationException": 400,
        "ResourceNotFoundException": 404,
        "ServiceQuotaExceededException": 402,
        "ConflictException": 409,
        "InternalServerException": 500,
    }

    def __init__(self, exception: str, reason: str | None, message: str) -> None:
        self.code = exception
        self.status = self.STATUSES[exception]
        self.reason = reason
        super().__init__(message)
