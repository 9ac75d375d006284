"""A host under simulated time: a steady clock that only goes on, a wall clock that is set at will, and boots."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from amiable.model.metering import SteadyInstant


@dataclass
class SimulatedHost:
    """:meth:`pass_` moves both clocks, :meth:`set_clock` the wall's only, :meth:`boot` begins the steady one anew."""

    wall: datetime = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
    steady_ms: int = 1_000_000
    boots: int = 1

    def now(self) -> datetime:
        """What services call the time."""
        return self.wall

    def steady(self) -> SteadyInstant:
        """What the database measures by."""
        return SteadyInstant(f"boot-{self.boots}", self.steady_ms)

    def pass_(self, milliseconds: int) -> None:
        """Time goes by."""
        self.steady_ms += milliseconds
        self.wall += timedelta(milliseconds=milliseconds)

    def set_clock(self, milliseconds: int) -> None:
        """Somebody sets the wall clock, forwards or backwards."""
        self.wall += timedelta(milliseconds=milliseconds)

    def boot(self) -> None:
        """The host is restarted: its steady clock counts from the boot."""
        self.boots += 1
        self.steady_ms = 20_000
