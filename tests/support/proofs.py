"""Which operations a run proved: the marks ``proves(service, *operations)`` of the tests that passed.

A worker of xdist puts a test's marks into its report; the controller collects them.  An operation is proved when a marked test
passed and none of its marked tests failed.  A whole run (all tests, nothing chosen) fails where ``docs/reference/proved.txt`` claims
what the run did not show, and says what it showed beyond that; ``--record-proofs`` writes the file instead: anew after a run of all marked tests
(``-m "proves and not torture"``), else adding what this run proved and taking away what it disproved.
"""

from collections import defaultdict
from collections.abc import Iterator

import pytest
from scripts.api_coverage import Key

from amiable.wire import operations
from scripts import api_coverage

WHOLE = ("", "not torture and not matrix")
ALL_MARKED = "proves and not torture"
PROPERTY = "proves"


def known() -> dict[str, frozenset[str]]:
    """What may be proved, by service: a mark that names anything else is a mistake."""
    spoken = {service: frozenset(names) for service, names in operations.SERVICES.items()}
    return {**spoken, "s3": api_coverage.answered()["s3"]}


def marks(item: pytest.Item) -> list[Key]:
    """What ``item`` proves; raises UsageError for a name that is none."""
    names = known()
    found = []
    for mark in item.iter_markers(PROPERTY):
        service, *proved = mark.args
        for name in proved:
            if name not in names.get(service, ()):
                raise pytest.UsageError(f"{item.nodeid}: proves({service!r}, {name!r}): there is no such operation")
            found.append((str(service), str(name)))
    return found


class Proofs:
    """The plugin; what it collects stands in the process that the user started."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.passed: dict[Key, set[str]] = defaultdict(set)
        self.failed: dict[Key, set[str]] = defaultdict(set)
        self.words: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Lets every test's report say what it proves."""
        for item in items:
            item.user_properties += [(PROPERTY, f"{service} {name}") for service, name in marks(item)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collects one phase of a test."""
        for kind, value in report.user_properties:
            if kind != PROPERTY:
                continue
            service, _, name = str(value).partition(" ")
            test = report.nodeid.partition("@")[0].partition("[")[0]
            if report.failed:
                self.failed[service, name].add(test)
            elif report.when == "call" and report.passed:
                self.passed[service, name].add(test)

    def proved(self, before: dict[Key, str]) -> dict[Key, str]:
        """Operation → test: the one that is on record where it still proves, else the first by name."""
        found = {}
        for key, tests in self.passed.items():
            if key not in self.failed:
                found[key] = before[key] if before.get(key) in tests else min(tests)
        return found

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Writes the record, or holds it against the run."""
        if hasattr(self.config, "workerinput"):
            return
        recorded = api_coverage.read_proofs()
        proved = self.proved(recorded)
        if self.config.getoption("record_proofs"):
            is_anew = session.exitstatus == 0 and chosen_marks(self.config) == ALL_MARKED
            kept = {} if is_anew else {key: test for key, test in recorded.items() if key not in self.failed}
            api_coverage.write_proofs({**proved, **kept})
        elif session.exitstatus == 0 and chosen_marks(self.config) in WHOLE:
            false = list(overclaims(recorded, proved))
            self.words = [*false, *unsaid(recorded, proved)]
            if false:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Says what the page claims and the run did not show."""
        for words in self.words:
            terminalreporter.write_line(f"coverage page: {words}", red=True)
        if self.words:
            terminalreporter.write_line("hint: make coverage-page")


def chosen_marks(config: pytest.Config) -> str:
    """The expression of marks that chose the tests; ``partial`` where anything else chose too."""
    option = config.option
    is_narrowed = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    is_partial = option.keyword or option.ignore or option.deselect or option.collectonly or is_narrowed
    return "partial" if is_partial else str(option.markexpr)


def overclaims(recorded: dict[Key, str], proved: dict[Key, str]) -> Iterator[str]:
    """What the record claims and the run did not show, a sentence each."""
    for service, name in sorted({*recorded} - {*proved}):
        claimed = recorded[service, name]
        yield f"{service} {name} is called real by {claimed}, which did not prove it in this run"


def unsaid(recorded: dict[Key, str], proved: dict[Key, str]) -> Iterator[str]:
    """What the run showed and the record does not say, a sentence each: the page may say less than there is, not more."""
    for service, name in sorted(proved):
        shown = proved[service, name]
        if recorded.get((service, name)) != shown:
            yield f"{service} {name} was proved by {shown}, and the page does not say so"
