"""How an outermost loop tells what it met."""

import errno
import logging
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from amiable.server.refusals import log_failure

FULL = OperationalError("INSERT …", {}, sqlite3.OperationalError("database or disk is full"))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), FULL], ids=["file", "database"])
def test_a_full_disk_is_told_in_a_line_without_a_traceback(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    log_failure(logging.getLogger("amiable.worker"), "a worker could not run a job", error)
    assert "a worker could not run a job: the disk is full" in caplog.text and "Traceback" not in caplog.text


def test_anything_else_is_told_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("odd")
    except ValueError as error:
        log_failure(logging.getLogger("amiable.worker"), "leases could not be renewed", error)
    assert "leases could not be renewed" in caplog.text and "ValueError: odd" in caplog.text
