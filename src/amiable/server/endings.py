"""What a machine's last words tell of how it ended: QEMU's own, the Xen appliance's, its guest's console."""

from datetime import datetime
from typing import Final

from amiable.model.instance import Instance
from amiable.rules import lifecycle
from amiable.rules.lifecycle import QEMU_ON_TPM, Ending
from amiable.rules.qemu_command import APPLIANCE_FAILED, APPLIANCE_LOG
from amiable.vm import console, machine, tpm
from amiable.vm.directory import Directory

TAIL_BYTES: Final = 4096
TAIL_LINES: Final = 8


def when_crashed(directory: Directory, instance: Instance) -> Ending:
    """How a machine ended whose panic device was written to: by the guest's kernel, or by the appliance itself."""
    own = console.readable(console.tail(directory, TAIL_BYTES, APPLIANCE_LOG), TAIL_LINES)
    if APPLIANCE_FAILED in own:
        return lifecycle.when_guest_crashed(
            instance, f"The Xen appliance failed. Its log ends with: {own}", is_ours=True
        )
    lines = console.readable(console.tail(directory, TAIL_BYTES), TAIL_LINES)
    what = f"The guest's kernel crashed. Its console ends with: {lines or '(nothing)'}"
    return lifecycle.when_guest_crashed(instance, what, is_ours=False)


def when_died(directory: Directory | None, instance: Instance, now: datetime) -> Ending:
    """How a machine ended that is no more, with its directory or without.  One that could not be reset without its TPM is started anew."""
    if directory is None:
        return lifecycle.when_process_died(instance, "its directory is gone")
    what = words_of(directory)
    if QEMU_ON_TPM in what and tpm.has_ended_alone(directory):
        return lifecycle.when_reset_without_tpm(now)
    return lifecycle.when_process_died(instance, what)


def words_of(directory: Directory) -> str:
    """Why a QEMU that is no more ended."""
    return f"QEMU ended: {machine.last_words(directory) or 'without a word (killed, or the host was restarted)'}"
