"""The UEFI variables of an instance: made at its first boot of the image's, then the firmware's own, and read back from its file."""

import os
from pathlib import Path

from amiable.model.hardware import Uefi
from amiable.model.uefi import NON_VOLATILE, Variable, enforces_secure_boot
from amiable.rules.hardware import UEFI_VARIABLES
from amiable.rules.uefi_data import UnreadableStore, read_uefi_data, write_uefi_data
from amiable.rules.uefi_store import FILE_BYTES_MAX, read_store, write_store
from amiable.vm.directory import Directory, open_directory
from amiable.vm.machine import MachineFailed

NAME = Uefi("").variables


def make_variables(directory: Directory, uefi_data: str | None) -> None:
    """The instance's variables, unless they are there: the firmware's template, or ``uefi_data`` written into it."""
    if directory.exists(NAME):
        return
    try:
        template = Path(UEFI_VARIABLES).read_bytes()
    except FileNotFoundError:
        raise MachineFailed("the UEFI firmware is not installed (Debian: apt-get install ovmf)") from None
    try:
        store = template if uefi_data is None else write_store(template, read_uefi_data(uefi_data))
    except UnreadableStore as error:
        raise MachineFailed(f"the image's UefiData cannot be used. {error}") from None
    directory.put(NAME, [(0, store)], len(store))


def read_variables(directory: Directory) -> tuple[Variable, ...] | None:
    """The instance's variables now, whether it runs or not; None before its first boot.  Raises UnreadableStore."""
    try:
        descriptor = directory.open(NAME, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return read_store(file.read(FILE_BYTES_MAX + 1))


def uefi_data_of(data: Path, instance_id: str) -> str | None:
    """The instance's non-volatile variables as an image carries them; None before its first boot, and where it has none.

    Raises UnreadableStore.
    """
    try:
        with open_directory(data, instance_id) as directory:
            variables = read_variables(directory)
    except OSError:
        return None
    if variables is None:
        return None
    return write_uefi_data([it for it in variables if it.attributes & NON_VOLATILE])


def is_secure(directory: Directory) -> bool:
    """Whether the firmware shall enforce Secure Boot; a store that was caught in the middle of a write counts as one with keys."""
    try:
        return enforces_secure_boot(read_variables(directory) or ())
    except UnreadableStore:
        return True
