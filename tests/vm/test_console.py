"""The console log: its end, its bound, and what is read in it."""

from pathlib import Path

from amiable.vm import console
from amiable.vm.directory import make_directory, open_directory

PRINTED = b"""noise
-----BEGIN SSH HOST KEY FINGERPRINTS-----
256 SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA root@old (ED25519)
-----END SSH HOST KEY FINGERPRINTS-----
ec2: -----BEGIN SSH HOST KEY FINGERPRINTS-----\r
ec2: 256 SHA256:M7Xg4dzaSSrZQukOHWeoifTJ8Fd25fn021OAFxpYOnY root@new (ED25519)\r
ec2: -----END SSH HOST KEY FINGERPRINTS-----\r
"""


def test_the_last_printed_host_keys_are_the_guests() -> None:
    assert console.host_keys(PRINTED) == ["SHA256:M7Xg4dzaSSrZQukOHWeoifTJ8Fd25fn021OAFxpYOnY"]
    assert console.host_keys(b"nothing yet") == []


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
