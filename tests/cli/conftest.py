"""What most commands are tried on: a server over empty services, which the environment names."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services


@pytest.fixture
def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    """The edge over empty services; the commands speak to it, for an account of its own."""
    with open_services(tmp_path / "data") as services:
        account, _ = make_account(services, "someone")
        with running_edge(services, account) as running:
            running.speak_in(monkeypatch)
            yield running
