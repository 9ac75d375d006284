"""Every acceptance test leaves the kernel as it found it: no child, namespace, socket or mount remains."""

from collections.abc import Iterator

import pytest

from tests.support import leftovers


@pytest.fixture(scope="module", autouse=True)
def _nothing_remains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.getbasetemp()
    before = leftovers.look(folder)
    yield
    assert leftovers.wait_for_none(before, folder) == {}
