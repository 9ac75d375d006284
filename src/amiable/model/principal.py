"""Who asks: the account behind a verified signature."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """One verified caller, in one region (from the credential scope)."""

    account_id: str
    access_key_id: str
    region: str
    is_administrator: bool = False

    @property
    def arn(self) -> str:
        """The account's root user; until users come, each key speaks for its account."""
        return f"arn:aws:iam::{self.account_id}:root"
