"""An instance's directory as root makes it: a user id of its own, whatever ends beside it."""

import os
import threading
from pathlib import Path

import pytest

from amiable.jobs.machine import words
from amiable.vm.directory import make_directory, remove_directory

UIDS = range(210_000, 210_040)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives instances user ids of their own")
def test_an_instance_is_made_while_others_end(tmp_path: Path) -> None:
    (tmp_path / "instances").mkdir()
    has_ended = threading.Event()

    def come_and_go() -> None:
        number = 0
        while not has_ended.is_set():
            (tmp_path / "instances" / f"i-{number % 7}").mkdir(exist_ok=True)
            remove_directory(tmp_path, f"i-{number % 7}")
            number += 1

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for number in range(len(UIDS)):
            make_directory(tmp_path, f"i-made-{number}", UIDS)
    finally:
        has_ended.set()
        thread.join(60)
    made = list((tmp_path / "instances").glob("i-made-*"))
    assert {path.stat().st_uid for path in made} == set(UIDS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives instances user ids of their own")
def test_where_no_user_id_is_free_the_owner_reads_why(tmp_path: Path) -> None:
    (tmp_path / "instances").mkdir()
    make_directory(tmp_path, "i-1", range(210_000, 210_001))
    with pytest.raises(OSError, match="user ids of guests") as refused:
        make_directory(tmp_path, "i-2", range(210_000, 210_001))
    assert words(refused.value) == (
        "All 1 user ids of guests are taken (the administrator can raise the setting guest_uid_count)"
    )
