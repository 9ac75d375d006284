"""Fingerprints of the SSH host keys that a guest printed on its console: kept when they are first seen.

    console.log ──first complete block of this boot──▶ host-keys {boot, fingerprints}      (the server's own file)

The first block of a boot wins.  It comes from the image's own start, before anyone logged in; whoever may write to the console later
(``/dev/ttyS0`` and the kernel's log are open to more than root in some guests) must not be able to add a key that ``amiable
instance ssh`` would then trust, nor to push the true ones out of the log by noise.  A guest that makes new keys while it runs is
believed after its next start.  cloud-init prints once an instance, not once a boot: what an earlier boot printed holds until a
later one prints.
"""

import json
import logging
import re
from dataclasses import dataclass
from typing import Final

from amiable.model.units import KIB
from amiable.vm import console
from amiable.vm.directory import Directory

log = logging.getLogger("amiable.supervise")

RECORD: Final = "host-keys"
RECORD_BYTES_MAX: Final = 64 * KIB
BLOCK_BYTES_MAX: Final = 16 * KIB
"""Between the two lines; a longer block is none.  A dozen keys take 1 KiB."""
READ_BYTES_MAX: Final = 4 * console.LOG_BYTES_MAX
"""Of the log at once; it is cut to less before it has so much, unless it grows faster than it is looked at."""

BEGIN: Final = b"-----BEGIN SSH HOST KEY FINGERPRINTS-----"
END: Final = b"-----END SSH HOST KEY FINGERPRINTS-----"
_FINGERPRINT = re.compile(rb"\bSHA256:[A-Za-z0-9+/]{43}")


@dataclass(frozen=True, slots=True)
class HostKeys:
    """Fingerprints (``SHA256:…``) in the order of their print, and in which of the instance's boots."""

    boot: int
    fingerprints: tuple[str, ...]


@dataclass(slots=True)
class Search:
    """One boot's search through a growing log: every byte is looked at once, but for a block's length."""

    boot: int
    position: int = 0
    is_done: bool = False

    def look(self, directory: Directory) -> None:
        """Looks at what is new; keeps the block when it is there, or where it cannot be written tries again at the next look."""
        if self.is_done:
            return
        if self.position == 0:
            known = kept(directory)
            self.is_done = known is not None and known.boot == self.boot
        start = max(0, self.position - BLOCK_BYTES_MAX - len(BEGIN) - len(END))
        text = b"" if self.is_done else console.read(directory, start, READ_BYTES_MAX)
        found = first_block(text)
        if found:
            try:
                keep(directory, HostKeys(self.boot, found))
            except OSError as error:  # a full disk: the guest's other troubles are looked at all the same
                log.warning("%s: its host keys cannot be kept yet: %s", directory.path.name, error)
                return
            self.is_done = True
        self.position = start + len(text)

    def begin_again(self) -> None:
        """The log was cut: nothing stands any more where it stood."""
        self.position = 0


def first_block(text: bytes) -> tuple[str, ...]:
    """The fingerprints in the first complete block that has any; none: nothing.  Linear in ``text``, whatever it holds."""
    behind = 0
    while (end := text.find(END, behind)) >= 0:
        begin = text.rfind(BEGIN, max(behind, end - BLOCK_BYTES_MAX - len(BEGIN)), end)
        found = _FINGERPRINT.findall(text, begin, end) if begin >= 0 else []
        if found:
            return tuple(each.decode() for each in found)
        behind = end + len(END)
    return ()


def keep(directory: Directory, keys: HostKeys) -> None:
    """Writes the record whole, in place of an earlier boot's."""
    directory.keep(RECORD, json.dumps({"boot": keys.boot, "fingerprints": keys.fingerprints}).encode())


def kept(directory: Directory) -> HostKeys | None:
    """The record; None without one that is ours and whole."""
    body = directory.kept(RECORD, RECORD_BYTES_MAX)
    try:
        record = json.loads(body or b"")
        return HostKeys(int(record["boot"]), tuple(str(each) for each in record["fingerprints"]))
    except (ValueError, KeyError, TypeError):
        return None


def known_keys(directory: Directory, boot: int) -> tuple[str, ...]:
    """What the guest printed at ``boot``, else at an earlier one; also what the log has and nobody kept yet."""
    known = kept(directory)
    if known is not None and known.boot >= boot:
        return known.fingerprints
    printed = first_block(console.read(directory, 0, READ_BYTES_MAX))
    return printed or (known.fingerprints if known is not None else ())
