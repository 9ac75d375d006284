"""An instance's directory as root makes it: a user id of its own, whatever ends beside it."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from amiable.jobs.machine import words
from amiable.vm.directory import make_directory, open_directory, remove_directory

UIDS = range(210_000, 210_040)


def test_an_instance_is_made_while_others_end(tmp_path: Path) -> None:
    (tmp_path / "instances").mkdir()
    has_ended = threading.Event()

    def come_and_go() -> None:
        while not has_ended.is_set():
            for number in range(100):
                (tmp_path / "instances" / f"i-{number}").mkdir()
            for number in range(100):
                remove_directory(tmp_path, f"i-{number}")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for number in range(len(UIDS)):
            make_directory(tmp_path, f"i-made-{number}", UIDS)
    finally:
        has_ended.set()
        thread.join(60)
    made = list((tmp_path / "instances").glob("i-made-*"))
    assert len(made) == len(UIDS)
    assert {path.stat().st_uid for path in made} == (set(UIDS) if os.geteuid() == 0 else {os.geteuid()})


def test_where_no_user_id_is_free_the_owner_reads_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "instances" / "i-1").mkdir(parents=True)
    taken = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # only root gives instances user ids of their own
    with pytest.raises(OSError, match="user ids of guests") as refused:
        make_directory(tmp_path, "i-2", range(taken, taken + 1))
    assert words(refused.value) == (
        "All 1 user ids of guests are taken (the administrator can raise the setting guest_uid_count)"
    )


def test_what_is_made_once_has_its_bytes_before_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def following(name: str) -> Callable[..., None]:
        real = getattr(os, name)

        def call(*arguments: object, **more: object) -> None:
            done.append(name)
            real(*arguments, **more)

        return call

    for name in ("fdatasync", "rename", "fsync"):
        monkeypatch.setattr(os, name, following(name))
    (tmp_path / "instances" / "i-1").mkdir(parents=True)
    with open_directory(tmp_path, "i-1") as directory:
        directory.put("disk", [(0, b"head"), (70_000, b"tail")], 100_000)
    body = (tmp_path / "instances" / "i-1" / "disk").read_bytes()
    assert (len(body), body[:4], body[70_000:70_004], body.count(0)) == (100_000, b"head", b"tail", 100_000 - 8)
    assert done == ["fdatasync", "rename", "fsync"]
