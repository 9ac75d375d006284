"""An ordinary user for a server to be started by: nobody's uid, a home of its own, an interpreter that it may run."""

import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import leftovers
from tests.support.server import Server

UID = 65533
CHECKOUT = Path(__file__).parents[2]
SETPRIV = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all", "--no-new-privs")


def is_reachable(path: Path) -> bool:
    """Whether everybody may come to ``path``."""
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))


def interpreter() -> tuple[str, dict[str, str]]:
    """A Python that everybody may run, of this one's version, and its environment."""
    mine = Path(sys.executable)
    if is_reachable(mine.resolve()) and is_reachable(mine.absolute()):
        return str(mine), {}
    other = "/usr/bin/python3"
    packages = [str(CHECKOUT / "src"), sysconfig.get_paths()["purelib"]]
    if Path(other).resolve().name != f"python{sys.version_info.major}.{sys.version_info.minor}":
        pytest.fail(f"an ordinary user can run neither {mine} nor another Python of its version")
    return other, {"PYTHONPATH": ":".join(packages), "PYTHONDONTWRITEBYTECODE": "1"}


@contextmanager
def ordinary_server() -> Iterator[Server]:
    """A server to be started by such a user, over ``data`` in its home; by ourselves, where we are ordinary.

    The home is not below pytest's folder, which is closed to others.  At the end it is removed and nothing of it runs.
    """
    folder = Path(tempfile.mkdtemp(prefix="amiable-user-"))
    before = leftovers.look(folder)
    server = Server(folder / "data", environment={"HOME": str(folder)})
    if os.geteuid() == 0:
        os.chown(folder, UID, UID)
        server.python, environment = interpreter()
        server.environment |= environment
        server.prefix = SETPRIV
    try:
        yield server
        assert server.close() == []
        assert leftovers.wait_for_none(before, folder) == {}
    finally:
        server.close()
        shutil.rmtree(folder)
