"""The tree for a script: nothing of it, and nothing that it runs, outlives the bundling."""

import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from amiable.bundle.volume.hook import tree
from amiable.model.errors import LocalRefusal
from tests.support.processes import wait_for_end

ENDED_SECONDS_MAX = 30


def test_a_script_that_still_runs_ends_with_the_bundling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume, script = tmp_path / "volume", tmp_path / "script"
    volume.mkdir()
    script.write_text(
        f"#!/bin/sh\necho $$ > {tmp_path}/pid.new\nmv {tmp_path}/pid.new {tmp_path}/pid\nexec sleep 600\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with pytest.raises(KeyboardInterrupt), tree(volume, ()) as laid:

        def run() -> None:
            with suppress(LocalRefusal):
                laid.run(script)

        running = threading.Thread(target=run)
        running.start()
        deadline = time.monotonic() + ENDED_SECONDS_MAX
        while not (tmp_path / "pid").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        raise KeyboardInterrupt
    running.join(ENDED_SECONDS_MAX)
    assert not running.is_alive()
    script_id = int((tmp_path / "pid").read_text())
    wait_for_end(script_id)
    assert not list(tmp_path.glob("amiable-tree-*"))
