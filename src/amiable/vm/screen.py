"""The screen of a machine as a picture: QEMU writes its pixels as a PPM file into the instance's directory, we make a JPEG of them.

QEMU is not trusted with more than pixels: the format has a header of three numbers, which is read here, and Pillow only encodes.
"""

import io
import os
import re
import time
from typing import Final

from amiable.vm.directory import Directory
from amiable.vm.machine import MachineFailed
from amiable.vm.qmp import Qmp, QmpError

FILE: Final = "screen.ppm"
SIDE_PIXELS_MAX: Final = 4096
PIXELS_MAX: Final = 2560 * 1600
"""More than 16 MiB of video memory can show."""
HEAD_BYTES_MAX: Final = 64
QUALITY: Final = 90
WAKE_SECONDS: Final = 0.5
_HEAD: Final = re.compile(rb"P6\s(\d{1,4})\s(\d{1,4})\s255\s")


def press(qmp: Qmp, key: str) -> None:
    """Presses a key of the machine's keyboard, and gives the guest a moment."""
    try:
        qmp.execute("send-key", keys=[{"type": "qcode", "data": key}])
    except QmpError as error:
        raise MachineFailed(f"the key could not be pressed: {error}") from None
    time.sleep(WAKE_SECONDS)


def photograph(directory: Directory, qmp: Qmp) -> bytes:
    """The machine's screen as it is now: a JPEG; raises MachineFailed where it has none."""
    directory.unlink(FILE)
    try:
        qmp.execute("screendump", filename=FILE)
        descriptor = directory.open(FILE, os.O_RDONLY)
    except QmpError as error:
        raise MachineFailed(str(error)) from None
    except OSError as error:
        raise MachineFailed(f"no picture was written: {error.strerror or error}") from None
    with os.fdopen(descriptor, "rb") as file:
        body = file.read(HEAD_BYTES_MAX + 3 * PIXELS_MAX)
    directory.unlink(FILE)
    return jpeg_of(body)


def jpeg_of(ppm: bytes) -> bytes:
    """The PPM picture (P6, 8 bits a colour) as a JPEG; raises MachineFailed for anything else."""
    from PIL import Image

    head = _HEAD.match(ppm[:HEAD_BYTES_MAX])
    if head is None:
        raise MachineFailed("the picture is no PPM")
    width, height = int(head[1]), int(head[2])
    pixels = memoryview(ppm)[head.end() :]
    if not (0 < width <= SIDE_PIXELS_MAX and 0 < height <= SIDE_PIXELS_MAX and width * height <= PIXELS_MAX):
        raise MachineFailed(f"the picture has {width} × {height} pixels")
    if len(pixels) < 3 * width * height:
        raise MachineFailed("the picture is cut short")
    into = io.BytesIO()
    Image.frombytes("RGB", (width, height), bytes(pixels[: 3 * width * height])).save(into, "JPEG", quality=QUALITY)
    return into.getvalue()
