"""The console log: its end, its bound, and what is read in it."""

from pathlib import Path

from amiable.vm import console
from amiable.vm.directory import make_directory, open_directory


def test_a_log_is_cut_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "instances").mkdir()
    make_directory(tmp_path, "i-1", range(200_000, 200_001))
    with open_directory(tmp_path, "i-1") as directory:
        assert console.tail(directory, 10) == b"" and not console.bound(directory)
        log = directory.path / "console.log"
        log.write_bytes(b"a" * console.LOG_BYTES_MAX)
        assert not console.bound(directory)
        with log.open("ab") as file:
            file.write(b"the end")
        assert console.bound(directory)
        assert log.stat().st_size == console.KEPT_BYTES and console.tail(directory, 7) == b"the end"


def test_what_a_person_reads_has_no_escapes() -> None:
    assert (
        console.readable(b"\x1bc\x1b[?7l\x1b[2JSeaBIOS\r\n\r\nNo bootable device.\r\n\x00", 2)
        == "SeaBIOS\nNo bootable device."
    )
