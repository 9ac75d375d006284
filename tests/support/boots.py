"""What a run booted, for the boot matrix: tests note it, a worker of xdist sends it with its report, the controller keeps or compares it.

``--record-boots`` keeps it: anew after a run of all boots (``make boot-matrix``), else beside what is on record.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
from scripts.boot_matrix import Boot, overclaims, read_boots, unknown, unsaid, write_boots

from tests.support.proofs import WHOLE, chosen_marks

PROPERTY = "boot"
ALL_BOOTS = "(boot or slow) and not torture"
APART = ("matrix", "torture")
"""Marks of what ``make test`` leaves out."""
Note = Callable[[Boot], None]


def boot_since(began: float, guest: str, profile: str, boot_mode: str, reached: str) -> Boot:
    """What is noted of a guest that came so far now; ``began``: the steady clock at the call that launched it."""
    return Boot(guest, profile, boot_mode, reached, round(time.monotonic() - began, 1))


def noter(request: pytest.FixtureRequest) -> Note:
    """What a test calls for each boot that it saw."""

    def note(boot: Boot) -> None:
        assert not unknown([boot]), boot
        test = request.node.nodeid.partition("@")[0].partition("[")[0]
        is_apart = any(request.node.get_closest_marker(mark) for mark in APART)
        told = asdict(replace(boot, test=test, is_apart=is_apart))
        request.node.user_properties.append((PROPERTY, json.dumps(told)))

    return note


class Boots:
    """The plugin."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.seen: list[Boot] = []
        self.words: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collects what a passed test noted."""
        if report.when == "call" and report.passed:
            self.seen += [Boot(**json.loads(str(value))) for kind, value in report.user_properties if kind == PROPERTY]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Writes the record, or holds it against the run."""
        if hasattr(self.config, "workerinput"):
            return
        if self.config.getoption("record_boots"):
            is_anew = session.exitstatus == 0 and chosen_marks(self.config) == ALL_BOOTS
            kept = [] if is_anew else read_boots()
            write_boots([*kept, *self.seen])
        elif session.exitstatus == 0 and chosen_marks(self.config) in WHOLE:
            false = overclaims(read_boots(), self.seen)
            self.words = [*false, *unsaid(read_boots(), self.seen)]
            if false:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Says what the page claims and the run did not show."""
        for words in self.words:
            terminalreporter.write_line(f"boot matrix: {words}", red=True)
        if self.words:
            terminalreporter.write_line("hint: make boot-matrix")
