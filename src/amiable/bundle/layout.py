"""Where a bundle's image comes from: its size, where its data lies, and a way to read it once, in rising order.

    a file            holes as the file system tells them (SEEK_DATA), never read
    a block device    the same call; a device that knows no holes is all data
    standard input    a redirected file or device is read as such, whole; a pipe must be as long as declared, no byte more or less
    anything else     ``Layout`` itself: ``read_into`` and the extents that are known, as of an NBD export

Nothing is read twice, so an image may come from what cannot go back.
"""

import errno
import os
import select
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from amiable.bundle import sparse_tar
from amiable.bundle.manifest_xml import IMAGE_BYTES_MAX
from amiable.bundle.sparse_tar import Extent
from amiable.model.errors import LocalRefusal
from amiable.model.units import GIB

EXTENTS_MAX: Final = 1 << 18
"""More than these are not written, for the sake of memory: the shortest holes are stored as zeros then."""

POLL_SECONDS: Final = 0.1
CLASSIC_BYTES_MAX: Final = 10 * GIB
"""What ec2-bundle-image and EC2 took."""


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Layout:
    """An image that can be read: ``extents`` are in order, apart, and inside ``size_bytes``; what lies between them is zeros.

    ``read_into`` fills the whole view from an offset or raises LocalRefusal; it is called in rising order, within extents only, by
    one thread.  ``check`` is called after the last byte, and raises LocalRefusal if what was read is not one image.  ``stop`` is
    called, from another thread, once nothing more is wanted: a ``read_into`` that still waits raises.
    """

    size_bytes: int
    extents: tuple[Extent, ...]
    read_into: Callable[[memoryview, int], None]
    check: Callable[[], None] = _nothing
    stop: Callable[[], None] = _nothing

    def __post_init__(self) -> None:
        if not 0 < self.size_bytes <= IMAGE_BYTES_MAX:
            raise LocalRefusal(f"the image has {self.size_bytes} bytes: an image has 1 to {IMAGE_BYTES_MAX}")
        end = 0
        for offset, length in self.extents:
            assert offset >= end and length > 0, "extents are in order, apart and not empty"
            assert offset % sparse_tar.BLOCK == 0, "extents begin on 512 bytes"
            end = offset + length
            assert length % sparse_tar.BLOCK == 0 or end == self.size_bytes, (
                "only the image's end is no multiple of 512"
            )
        assert end <= self.size_bytes


def who_refuses(size_bytes: int) -> str | None:
    """Who will not take an image of ``size_bytes``, as a warning before the work starts; ``None`` where all do."""
    if size_bytes <= CLASSIC_BYTES_MAX:
        return None
    return (
        f"the image has {size_bytes / GIB:.1f} GiB: ec2-bundle-image and EC2 refuse images of more than 10 GiB "
        "(10,737,418,240 bytes); Amiable, euca2ools and Eucalyptus take it"
    )


@contextmanager
def open_image_file(path: Path) -> Iterator[Layout]:
    """The image at ``path``, a file or a block device, opened, and where its data lies."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise LocalRefusal(f"{path} cannot be read: {error.strerror}", exit_code=74) from error
    with ExitStack() as opened:
        opened.callback(os.close, descriptor)
        if not _is_seekable_image(descriptor):
            raise LocalRefusal(f"{path} is no disk image: neither a file nor a block device")
        yield _of_descriptor(descriptor)


def of_input(descriptor: int, size_bytes: int | None) -> Layout:
    """The image on ``descriptor``, standard input for instance, which stays open.

    A redirected file or device is read as such, its holes skipped; it need not declare its size.  A pipe must: it is all data, and
    refused where it ends early or goes on.
    """
    if _is_seekable_image(descriptor):
        layout = _of_descriptor(descriptor)
        if size_bytes is not None and size_bytes != layout.size_bytes:
            raise LocalRefusal(
                f"standard input has {layout.size_bytes} bytes, not the {size_bytes} that are declared",
                hint="leave out --image-size for a redirected file",
            )
        return layout
    if size_bytes is None:
        raise LocalRefusal(
            "the size of an image that comes through a pipe must be declared",
            hint="pass --image-size in bytes, or redirect a file",
        )
    pipe = _Pipe(descriptor, size_bytes)
    extents = ((0, size_bytes),) if size_bytes > 0 else ()
    return Layout(size_bytes, extents, pipe.read_into, check=pipe.check_end, stop=pipe.stop)


class _Pipe:
    """An image that can only be read on."""

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        self._size_bytes = size_bytes
        self._at = 0
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Ends a read that waits for the writer."""
        self._stopped.set()

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fills ``view`` with what comes next, which lies at ``offset``."""
        assert offset == self._at
        while view:
            self._wait()
            size = os.readv(self._descriptor, [view])
            if not size:
                raise LocalRefusal(
                    f"standard input ended after {self._at} bytes; {self._size_bytes} are declared",
                    hint="pass the image's true size with --image-size",
                )
            view, self._at = view[size:], self._at + size

    def check_end(self) -> None:
        """Refuses a pipe that goes on."""
        self._wait()
        if os.read(self._descriptor, 1):
            raise LocalRefusal(
                f"standard input goes on after the {self._size_bytes} bytes that are declared",
                hint="pass the image's true size with --image-size",
            )

    def _wait(self) -> None:
        while not select.select([self._descriptor], [], [], POLL_SECONDS)[0]:
            if self._stopped.is_set():
                raise LocalRefusal("standard input was waited for in vain")


def _is_seekable_image(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISREG(mode) or stat.S_ISBLK(mode)


def _of_descriptor(descriptor: int) -> Layout:
    modified_ns = os.fstat(descriptor).st_mtime_ns
    size_bytes = os.lseek(descriptor, 0, os.SEEK_END)
    extents = fit_extents(lambda: data_runs(descriptor, size_bytes), size_bytes)

    def read_into(view: memoryview, offset: int) -> None:
        while view:
            size = os.preadv(descriptor, [view], offset)
            if not size:
                raise LocalRefusal(
                    "the image became shorter while it was read", hint="bundle an image that nothing writes to."
                )
            view, offset = view[size:], offset + size

    def check_unchanged() -> None:
        if os.fstat(descriptor).st_mtime_ns != modified_ns:
            raise LocalRefusal(
                "the image was changed while it was read", hint="bundle an image that nothing writes to."
            )

    return Layout(size_bytes, extents, read_into, check_unchanged)


def find_extents(
    descriptor: int, size_bytes: int, *, least_hole: int = sparse_tar.BLOCK, extents_max: int = EXTENTS_MAX
) -> list[Extent] | None:
    """Where the file has data, as :func:`merge_runs` has it; ``None`` where there are more than ``extents_max`` extents."""
    return merge_runs(data_runs(descriptor, size_bytes), size_bytes, least_hole=least_hole, extents_max=extents_max)


def data_runs(descriptor: int, size_bytes: int) -> Iterator[Extent]:
    """Where the file has data, in order; all of it where the file system does not tell."""
    at = 0
    while at < size_bytes:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
            at = min(os.lseek(descriptor, start, os.SEEK_HOLE), size_bytes)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            start, at = at, size_bytes
        yield start, at - start


def merge_runs(
    runs: Iterable[Extent], size_bytes: int, *, least_hole: int = sparse_tar.BLOCK, extents_max: int = EXTENTS_MAX
) -> list[Extent] | None:
    """``runs`` rounded outward to 512 bytes; those with a hole between them that is shorter than ``least_hole`` are one.

    ``None`` where there are more than ``extents_max`` of them.
    """
    extents: list[Extent] = []
    for offset, length in runs:
        start = offset - offset % sparse_tar.BLOCK
        end = min(-(-(offset + length) // sparse_tar.BLOCK) * sparse_tar.BLOCK, size_bytes)
        if extents and start - sum(extents[-1]) < least_hole:
            start = extents.pop()[0]
        extents.append((start, end - start))
        if len(extents) > extents_max:
            return None
    return extents


def fit_extents(find_runs: Callable[[], Iterable[Extent]], size_bytes: int) -> tuple[Extent, ...]:
    """The extents of the image whose runs of data ``find_runs`` tells, as often as it is asked: not more than ``EXTENTS_MAX``."""
    least_hole = sparse_tar.BLOCK
    while (extents := merge_runs(find_runs(), size_bytes, least_hole=least_hole)) is None:
        least_hole *= 8
    return tuple(extents)
