"""A clock that a test moves, and clients that sign by it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest


@dataclass
class Clock:
    """The time; :meth:`pass_` moves it on."""

    moment: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def pass_(self, **time: float) -> datetime:
        """Lets time pass (days, hours, …); the time then."""
        self.moment += timedelta(**time)
        return self.moment


def sign_by(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has botocore date its signatures by ``clock``: the server refuses those that are not of its time."""
    for module in ("botocore.auth", "botocore.crt.auth"):
        monkeypatch.setattr(f"{module}.get_current_datetime", lambda **_: clock.moment.replace(tzinfo=None))
