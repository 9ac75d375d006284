"""The UEFI variables in an instance's directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from amiable.model.uefi import GLOBAL, Variable
from amiable.rules.hardware import UEFI_VARIABLES
from amiable.rules.uefi_data import UnreadableStore, read_uefi_data
from amiable.rules.uefi_store import write_store
from amiable.vm.directory import Directory, make_directory, open_directory
from amiable.vm.firmware import NAME, is_secure, make_variables, read_variables, uefi_data_of
from amiable.vm.machine import MachineFailed
from tests.rules.uefi import ORDER, PLATFORM_KEY, uefi_data

INSTANCE = "i-0123456789abcdef0"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    (tmp_path / "instances").mkdir()
    make_directory(tmp_path, INSTANCE, range(220_000, 220_100))
    with open_directory(tmp_path, INSTANCE) as opened:
        yield opened


def test_without_data_an_instance_has_the_firmwares_template(directory: Directory, tmp_path: Path) -> None:
    assert read_variables(directory) is None and uefi_data_of(tmp_path, INSTANCE) is None
    make_variables(directory, None)
    assert (directory.path / NAME).read_bytes() == Path(UEFI_VARIABLES).read_bytes()
    assert read_variables(directory) == () and not is_secure(directory)


def test_the_images_variables_are_written_once_and_the_firmwares_stay(directory: Directory, tmp_path: Path) -> None:
    make_variables(directory, uefi_data(ORDER))
    assert read_variables(directory) == (ORDER,) and not is_secure(directory)
    (directory.path / NAME).write_bytes(write_store(Path(UEFI_VARIABLES).read_bytes(), (ORDER, PLATFORM_KEY)))
    make_variables(directory, uefi_data(ORDER))
    assert read_variables(directory) == (ORDER, PLATFORM_KEY) and is_secure(directory)


def test_an_image_gets_the_variables_that_outlive_a_reset(directory: Directory, tmp_path: Path) -> None:
    volatile = Variable("Volatile", GLOBAL, 0x6, b"x")
    make_variables(directory, uefi_data(ORDER, volatile))
    told = uefi_data_of(tmp_path, INSTANCE)
    assert told is not None and read_uefi_data(told) == (ORDER,)
    assert uefi_data_of(tmp_path, "i-00000000000000000") is None


@pytest.mark.parametrize(
    "text", ["AAAA", uefi_data(Variable("Big", GLOBAL, 7, bytes(262_050)))], ids=["no-store", "big"]
)
def test_data_that_does_not_fit_ends_the_boot_with_words(directory: Directory, text: str) -> None:
    with pytest.raises(MachineFailed, match="the image's UefiData cannot be used"):
        make_variables(directory, text)
    assert not directory.exists(NAME)


def test_a_spoiled_file_counts_as_one_with_keys_and_is_not_told(directory: Directory, tmp_path: Path) -> None:
    (directory.path / NAME).write_bytes(b"\xff" * 4096)
    assert is_secure(directory)
    with pytest.raises(UnreadableStore):
        uefi_data_of(tmp_path, INSTANCE)


def test_a_link_in_the_files_place_is_not_followed(directory: Directory, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(Path(UEFI_VARIABLES).read_bytes())
    (directory.path / NAME).symlink_to(tmp_path / "secret")
    assert uefi_data_of(tmp_path, INSTANCE) is None
