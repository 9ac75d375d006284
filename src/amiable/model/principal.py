"""Who asks: the account behind a verified signature."""

from dataclasses import dataclass
from typing import Final

SESSION_PREFIX: Final = "ASIA"
"""What the access key of a session begins with; a lasting one begins otherwise."""


@dataclass(frozen=True, slots=True)
class Principal:
    """One verified caller, in one region (from the credential scope)."""

    account_id: str
    access_key_id: str
    region: str
    is_administrator: bool = False

    @property
    def is_session(self) -> bool:
        """Whether the caller's credentials end by themselves: such a caller makes none that do not."""
        return self.access_key_id.startswith(SESSION_PREFIX)

    @property
    def arn(self) -> str:
        """The account's root user; until users come, each key speaks for its account."""
        return f"arn:aws:iam::{self.account_id}:root"
