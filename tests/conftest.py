"""Fixtures that every test may ask for, and the house rules: boots one at a time, nothing left behind."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from amiable.model.principal import Principal
from amiable.services import Services
from tests.support.boots import Boots, Note, noter
from tests.support.proofs import Proofs
from tests.support.server import Server, serving
from tests.support.services import make_account, open_services

settings.register_profile("patient", deadline=None)  # an example that took long on a loaded host has shown no fault
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that keep what a run showed."""
    parser.addoption("--record-boots", action="store_true", help="write docs/reference/boots.json from this run")
    parser.addoption("--record-proofs", action="store_true", help="write docs/reference/proved.txt from this run")


def pytest_configure(config: pytest.Config) -> None:
    """Collects what the run proves, and what it boots."""
    config.pluginmanager.register(Boots(config))
    config.pluginmanager.register(Proofs(config))


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Boots share one xdist group, so that one worker runs them in turn; the longest ones first."""
    items.sort(key=lambda item: (not item.get_closest_marker("slow"), not item.get_closest_marker("boot")))
    for item in items:
        if item.get_closest_marker("boot") or item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.xdist_group("boot"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """The groups took effect: xdist writes them into the ids of the tests."""
    if not session.config.getoption("loadgroup", False):
        return
    lost = [item.nodeid for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
    assert not lost, f"xdist did not group the boots, as with pytest 9.2: {lost[:3]}"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Under CI a skipped test is a failure: nothing that is missing may pass unseen."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped") and session.exitstatus == 0:
        session.exitstatus = 1


@pytest.fixture(autouse=True)
def _one_boot_at_a_time(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if not (request.node.get_closest_marker("boot") or request.node.get_closest_marker("slow")):
        yield
        return
    lock = tmp_path_factory.getbasetemp().parent / "boot.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def note_boot(request: pytest.FixtureRequest) -> Note:
    """Notes a boot for the boot matrix, which counts it when the test passes."""
    return noter(request)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Services over an empty data directory; no worker runs."""
    with open_services(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def principal(services: Services) -> Principal:
    """An ordinary account of ``services``."""
    return make_account(services, "owner")[1]


@pytest.fixture
def other_principal(services: Services) -> Principal:
    """A second ordinary account of ``services``."""
    return make_account(services, "other")[1]


@pytest.fixture
def administrator(services: Services) -> Principal:
    """The administrator's account of ``services``."""
    return make_account(services, "administrator", administrator=True)[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server on an empty data directory and a free port, one a module."""
    with serving(Server(tmp_path_factory.mktemp("s") / "data")) as running:
        yield running
