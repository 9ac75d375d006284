"""A screen's pixels become a JPEG; what is no picture, or an unlikely one, is refused without being decoded."""

import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from amiable.vm import screen
from amiable.vm.directory import Directory
from amiable.vm.machine import MachineFailed
from amiable.vm.qmp import Qmp, QmpError


def ppm(width: int, height: int, pixel: bytes = b"\xff\x00\x00") -> bytes:
    return b"P6\n%d %d\n255\n" % (width, height) + pixel * (width * height)


def test_a_picture_has_its_size_and_its_colours() -> None:
    with Image.open(io.BytesIO(screen.jpeg_of(ppm(720, 400)))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (720, 400))
        pixel = picture.convert("RGB").getpixel((5, 5))
        assert isinstance(pixel, tuple)
        red, green, blue = pixel
        assert red > 240 and green < 16 and blue < 16


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no PPM"),
        (b"\x89PNG\r\n", "no PPM"),
        (b"P6\n640 480\n65535\n", "no PPM"),
        (b"P6\n99999 1\n255\n", "no PPM"),
        (ppm(640, 480)[:-1], "cut short"),
        (b"P6\n0 480\n255\n", "0 × 480"),
        (b"P6\n4097 1\n255\n" + b"x" * 20000, "4097 × 1"),
        (b"P6\n4096 4096\n255\n", "4096 × 4096"),
    ],
    ids=["empty", "png", "deep", "five digits", "short", "none", "wide", "large"],
)
def test_what_is_no_picture_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(MachineFailed, match=words):
        screen.jpeg_of(body)


class Monitor(Qmp):
    """A QMP connection that writes, as the screen, what it was given."""

    def __init__(self, folder: Path, body: bytes | None) -> None:
        self.folder, self.body = folder, body
        self.told: list[tuple[str, dict[str, Any]]] = []

    def execute(self, command: str, *, wait_seconds: float | None = None, **arguments: Any) -> None:
        self.told.append((command, arguments))
        if self.body is None:
            raise QmpError("GenericError: there is no console")
        if command == "screendump":
            (self.folder / arguments["filename"]).write_bytes(self.body)


class Silent(Monitor):
    """Says that it is done, and writes nothing."""

    def execute(self, command: str, *, wait_seconds: float | None = None, **arguments: Any) -> None:
        pass


def test_the_picture_is_taken_from_the_directory_and_removed_there(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        directory = Directory(tmp_path, descriptor, None)
        assert screen.photograph(directory, Monitor(tmp_path, ppm(640, 480))).startswith(b"\xff\xd8\xff")
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(MachineFailed, match="no console"):
            screen.photograph(directory, Monitor(tmp_path, None))
        with pytest.raises(MachineFailed, match="no picture was written"):
            screen.photograph(directory, Silent(tmp_path, b""))
    finally:
        os.close(descriptor)


def test_waking_presses_a_key_and_says_when_there_is_no_keyboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen, "WAKE_SECONDS", 0.0)
    monitor = Monitor(tmp_path, b"")
    screen.press(monitor, "ctrl")
    assert monitor.told == [("send-key", {"keys": [{"type": "qcode", "data": "ctrl"}]})]
    with pytest.raises(MachineFailed, match="could not be pressed"):
        screen.press(Monitor(tmp_path, None), "ctrl")
