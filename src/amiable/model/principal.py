"""Who asks: the account behind a verified signature, or a session of one of its roles."""

from dataclasses import dataclass
from typing import Final

from amiable.model.policy import Policy

SESSION_PREFIX: Final = "ASIA"
"""What the access key of a session begins with; a lasting one begins otherwise."""


@dataclass(frozen=True, slots=True)
class RoleSession:
    """Whom temporary credentials of a role speak for, and all that it may do: what no policy allows is refused."""

    role_id: str
    role_name: str
    role_arn: str
    session_name: str
    policies: tuple[Policy, ...] = ()
    session_policy: Policy | None = None
    """What AssumeRole was told beside the role's own policies: both must allow."""


@dataclass(frozen=True, slots=True)
class Principal:
    """One verified caller, in one region (from the credential scope)."""

    account_id: str
    access_key_id: str
    region: str
    is_administrator: bool = False
    role: RoleSession | None = None

    @property
    def is_session(self) -> bool:
        """Whether the caller's credentials end by themselves: such a caller makes none that do not."""
        return self.access_key_id.startswith(SESSION_PREFIX)

    @property
    def arn(self) -> str:
        """A role's session, or the account's root user: until users come, each key speaks for its account."""
        if self.role is not None:
            return f"arn:aws:sts::{self.account_id}:assumed-role/{self.role.role_name}/{self.role.session_name}"
        return f"arn:aws:iam::{self.account_id}:root"

    @property
    def user_id(self) -> str:
        """IAM's unique id of the caller; of a root user the account's number."""
        return f"{self.role.role_id}:{self.role.session_name}" if self.role is not None else self.account_id
