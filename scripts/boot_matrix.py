"""The page of what booted: guests by hardware profile and boot mode, from the tests that booted them.

A test that boots a guest notes how far it came and after how long (``tests/support/boots.py``).  ``pytest --record-boots …`` keeps the
notes in ``docs/reference/boots.json``; ``python scripts/boot_matrix.py`` writes the page from them (``make docs`` does too).  A whole
run of the tests fails where it shows anything else than the record, the times and what ``make test`` has no time to boot left out.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / "docs" / "reference"
RECORD: Final = FOLDER / "boots.json"
PAGE: Final = FOLDER / "boot-matrix.md"

COLUMNS: Final = (
    ("virtio", "legacy-bios"),
    ("virtio", "uefi"),
    ("nitro", "legacy-bios"),
    ("nitro", "uefi"),
    ("xen-hvm", "legacy-bios"),
    ("direct", ""),
    ("direct-nvme", ""),
    ("xen-pv", ""),
)
"""Hardware profile and boot mode; a paravirtual image has no firmware, so no mode."""

GUESTS: Final = {
    "tiny": "the tests' own guest: Debian's cloud kernel, busybox, dropbear",
    "tiny, PV-GRUB": "its own kernel, found by the menu on its disk",
    "tiny, Secure Boot": "keys enrolled by UefiData, none of which signed its boot loader",
    "tiny, signed": "the same keys, and Debian's shim, GRUB and kernel, which they and Debian's key signed",
    "small": "house image: Debian 12 with systemd",
    "small-sysv": "house image: Debian 12 with System V init",
    "Debian 12": "with cloud-init, as Debian's cloud images",
    "iPXE": "Debian's package `ipxe`: not Linux, drivers of its own",
    "memtest86+": "Debian's package `memtest86+`: no system at all",
}
UNTESTED: Final = {
    "32-bit paravirtual guests": "`make torture` builds their hypervisor and starts PV-GRUB of 32 bits (`tests/acceptance/test_xen_pv32.py`); no whole system",
    "FreeDOS": "Debian has no package of it",
    "Windows": "no medium that may be had freely; `xen-hvm` and `nitro` are made for it",
    "OpenSolaris, illumos": "no medium in Debian; its paravirtual kernels are recognised",
    "FreeBSD, NetBSD, OpenBSD": "no medium in Debian; their paravirtual kernels are recognised",
}


@dataclass(frozen=True, slots=True, order=True)
class Boot:
    """One boot: how far ``guest`` came in a machine, and after how many seconds since the call that launched it."""

    guest: str
    profile: str
    boot_mode: str  # "" of a paravirtual image
    reached: str
    seconds: float
    test: str = ""
    is_apart: bool = False  # ``make test`` leaves it out

    @property
    def place(self) -> tuple[str, str, str]:
        """Where it stands on the page."""
        return self.guest, self.profile, self.boot_mode


def read_boots(path: Path = RECORD) -> list[Boot]:
    """What is on record."""
    return [Boot(**each) for each in json.loads(path.read_text())] if path.exists() else []


def write_boots(boots: Iterable[Boot], path: Path = RECORD) -> None:
    """Keeps the boots, in order; those of the same place replace each other, the last one stays."""
    latest = {boot.place: boot for boot in boots}
    path.write_text(json.dumps([asdict(latest[place]) for place in sorted(latest)], indent=1) + "\n")


def page(boots: Iterable[Boot]) -> str:
    """The page as Markdown."""
    found: Mapping[tuple[str, str, str], Boot] = {boot.place: boot for boot in boots}
    heads = [f"{profile}, {mode}" if mode else profile for profile, mode in COLUMNS]
    lines = [
        "<!-- made by `make docs` from boots.json; do not edit -->\n",
        "# What boots\n",
        "Each cell is a boot that a test made: how far the guest came, and the seconds from the call that launched it, on two busy",
        "processors **without** hardware virtualization (with it a boot takes a fraction). An empty cell was not tried. The profiles:",
        "`src/amiable/rules/hardware_profile.py`; the tests: last column.\n",
        f"| guest | {' | '.join(heads)} | test |",
        f"|---|{'---|' * len(heads)}---|",
    ]
    for guest, what in GUESTS.items():
        cells = [found.get((guest, profile, mode)) for profile, mode in COLUMNS]
        tests = sorted({boot.test.partition("::")[0].rpartition("/")[2] for boot in cells if boot is not None})
        told = ["" if boot is None else f"{boot.reached}, {boot.seconds:.0f} s" for boot in cells]
        lines.append(f"| **{guest}**: {what} | {' | '.join(told)} | {' '.join(f'`{test}`' for test in tests)} |")
    lines += ["\n## Untested here\n"]
    lines += [f"* **{guest}**: *untested here*; {why}." for guest, why in UNTESTED.items()]
    return "\n".join(lines) + "\n"


def unknown(boots: Iterable[Boot]) -> list[Boot]:
    """Boots that the page has no place for."""
    return [boot for boot in boots if boot.guest not in GUESTS or (boot.profile, boot.boot_mode) not in COLUMNS]


def overclaims(recorded: Iterable[Boot], shown: Iterable[Boot]) -> list[str]:
    """What the record claims and a whole run, which has not those apart, did not show, a sentence each; times may differ."""
    claimed, seen = _reached(recorded), _reached(shown)
    return [
        f"{_words(place)}: {claimed[place]!r} on the page, {seen.get(place)!r} in this run"
        for place in sorted(claimed)
        if claimed[place] != seen.get(place)
    ]


def unsaid(recorded: Iterable[Boot], shown: Iterable[Boot]) -> list[str]:
    """What a run showed in places where the record has nothing: the page may say less than there is, not more."""
    claimed, seen = _reached(recorded), _reached(shown)
    return [
        f"{_words(place)}: nothing on the page, {seen[place]!r} in this run" for place in sorted({*seen} - {*claimed})
    ]


def _reached(boots: Iterable[Boot]) -> dict[tuple[str, str, str], str]:
    return {boot.place: boot.reached for boot in boots if not boot.is_apart}


def _words(place: tuple[str, str, str]) -> str:
    return ", ".join(filter(None, place))


if __name__ == "__main__":
    PAGE.write_text(page(read_boots()))
    sys.stdout.write(f"{PAGE.name}\n")
