"""Where an image may come from: a file, standard input, anything that can be read; and what is refused of each."""

import contextlib
import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest

from amiable.bundle.layout import Layout, find_extents, of_input, open_image_file, who_refuses
from amiable.bundle.parts import HandedOn
from amiable.bundle.pipeline import Recipe, create, create_into
from amiable.bundle.unbundle import find_bundle, unbundle
from amiable.model.errors import LocalRefusal
from amiable.model.manifest import Part
from amiable.model.units import GIB, MIB, PART_BYTES
from tests.bundle.conftest import allocated_bytes, sparse_file

Make = Callable[..., Recipe]
Pem = Callable[[str], bytes]
WAIT_SECONDS_MAX = 60


class Writer:
    """A pipe, and a thread that writes ``data`` into it; the end is closed when all is written."""

    def __init__(self, data: bytes, *, stays_open: bool = False) -> None:
        self.reading, self._writing = os.pipe()
        self._data = data
        self._stays_open = stays_open
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        view = memoryview(self._data)
        try:
            while view:
                view = view[os.write(self._writing, view) :]
        except BrokenPipeError:
            pass
        if not self._stays_open:
            os.close(self._writing)

    def close(self) -> None:
        """Ends both sides."""
        os.close(self.reading)
        self._thread.join(WAIT_SECONDS_MAX)
        if self._stays_open:
            os.close(self._writing)


def opened(manifest: Path, pem: Pem, out: Path) -> bytes:
    unbundle(find_bundle(manifest, pem("user.crt")), out, private_key_pem=pem("user.key"))
    return out.read_bytes()


@pytest.mark.parametrize("size", [1, 511, MIB, 3 * MIB + 17])
def test_a_pipe_of_the_declared_size_is_bundled(recipe: Make, pem: Pem, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    with closing(Writer(data)) as pipe:
        manifest = create(recipe(of_input(pipe.reading, size)), tmp_path)
    assert opened(manifest, pem, tmp_path / "out") == data


@pytest.mark.parametrize(("declared", "why"), [(MIB + 1, "ended after 1048576 bytes"), (MIB - 1, "goes on after")])
def test_a_pipe_of_another_size_is_refused_and_leaves_nothing(
    recipe: Make, tmp_path: Path, declared: int, why: str
) -> None:
    with closing(Writer(bytes(MIB))) as pipe, pytest.raises(LocalRefusal, match=why):
        create(recipe(of_input(pipe.reading, declared)), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("declared", "why"),
    [(None, "must be declared"), (0, "has 0 bytes"), (-5, "has -5 bytes"), (1 << 60, "an image has")],
)
def test_a_pipe_without_a_sound_size_is_refused_at_once(declared: int | None, why: str) -> None:
    with closing(Writer(b"")) as pipe, pytest.raises(LocalRefusal, match=why):
        of_input(pipe.reading, declared)


def test_a_consumer_that_fails_ends_the_wait_for_a_pipe_that_says_nothing(recipe: Make) -> None:
    def consume(part: Part, body: memoryview) -> None:
        raise LocalRefusal("the bucket is gone")

    with (
        closing(Writer(os.urandom(4 * PART_BYTES), stays_open=True)) as pipe,
        pytest.raises(LocalRefusal, match="the bucket is gone"),
        HandedOn(consume, workers=1, waiting_max=1) as sink,
    ):
        create_into(recipe(of_input(pipe.reading, GIB)), sink)


def test_a_named_pipe_is_refused_without_waiting_for_who_writes_to_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LocalRefusal, match="neither a file nor a block device"), open_image_file(tmp_path / "pipe"):
        pass


def open_for_reading(path: Path) -> BinaryIO:
    return path.open("rb", buffering=0)


def test_a_redirected_file_is_read_with_its_holes(recipe: Make, pem: Pem, tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "in", 64 * MIB, {5 * MIB: b"x" * 5000, 60 * MIB: b"y"})
    with open_for_reading(image) as file:
        layout = of_input(file.fileno(), None)
        assert layout.extents == tuple(find_extents(file.fileno(), 64 * MIB) or ())
        manifest = create(recipe(layout), tmp_path)
    assert opened(manifest, pem, tmp_path / "out") == image.read_bytes()
    assert allocated_bytes(tmp_path / "out") <= allocated_bytes(image)


def test_a_redirected_file_may_declare_its_own_size_only(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "in", MIB, {0: b"x"})
    with open_for_reading(image) as file:
        assert of_input(file.fileno(), MIB).size_bytes == MIB
        with pytest.raises(LocalRefusal, match="has 1048576 bytes, not the 5"):
            of_input(file.fileno(), 5)


def test_anything_that_can_be_read_is_bundled_within_its_extents_only(recipe: Make, pem: Pem, tmp_path: Path) -> None:
    """As an NBD export: what is known to be zeros is never asked for."""
    image = bytearray(6 * MIB)
    extents = ((512, 1024), (MIB, 2 * MIB), (5 * MIB, MIB))
    for offset, length in extents:
        image[offset : offset + length] = os.urandom(length)
    asked: list[tuple[int, int]] = []
    checked: list[bool] = []

    def read_into(view: memoryview, offset: int) -> None:
        asked.append((offset, len(view)))
        view[:] = image[offset : offset + len(view)]

    layout = Layout(len(image), extents, read_into, check=lambda: checked.append(True))
    parts: dict[str, bytes] = {}
    with HandedOn(lambda part, body: parts.update({part.filename: bytes(body)}), workers=1, waiting_max=1) as sink:
        document = create_into(recipe(layout), sink)
    for name, body in parts.items():
        (tmp_path / name).write_bytes(body)
    (tmp_path / "m.xml").write_bytes(document)
    assert opened(tmp_path / "m.xml", pem, tmp_path / "out") == image
    assert asked == sorted(asked)
    assert all(any(at <= o and o + n <= at + length for at, length in extents) for o, n in asked)
    assert checked == [True]


@pytest.mark.parametrize(
    "extents", [((5, 512),), ((0, 100), (512, 512)), ((512, 512), (0, 512)), ((0, 0),), ((0, 1 << 30),)]
)
def test_extents_that_no_tar_could_hold_are_a_mistake(extents: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(AssertionError):
        Layout(MIB, extents, lambda view, offset: None)


def test_a_file_opened_by_name_is_closed_again(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "in", MIB, {0: b"x"})
    with open_image_file(image) as layout:
        assert layout.size_bytes == MIB and is_open(image)
    assert not is_open(image)


def is_open(path: Path) -> bool:
    """Whether a descriptor of this process leads to the file."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one of the listing itself
            found.append(descriptor.readlink())
    return path in found


def test_who_refuses_a_large_image_is_named_before_the_work() -> None:
    assert who_refuses(10 * GIB) is None
    warning = who_refuses(10 * GIB + 1)
    assert warning is not None
    assert "ec2-bundle-image and EC2" in warning
