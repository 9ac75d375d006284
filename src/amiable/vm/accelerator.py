"""What executes guests: KVM where it is proved, else TCG with what that costs, in words.

Two proofs, both in children with a time limit: ``vm/kvm_probe``, then a boot sector under QEMU with ``-cpu host``.  The answer is kept
in ``<data>/accelerator.json`` for this boot of the host, its kernel and this QEMU.
"""

import contextlib
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from amiable.model.hardware import AcceleratorKind
from amiable.model.settings import Settings
from amiable.vm.launcher import boot_id
from amiable.vm.process import SOURCE_ROOT

PROBE_SECONDS_MAX: Final = 10
SECTOR_SECONDS_MAX: Final = 10
VERSION_SECONDS_MAX: Final = 20
FILE: Final = "accelerator.json"

BOOT_SECTOR: Final = (b"\xb0\x10\xe6\xf4\xf4" + bytes(505)) + b"\x55\xaa"
"""mov al, 16; out 0xf4, al; hlt: ``isa-debug-exit`` makes QEMU's exit status 33 of it."""
SECTOR_STATUS: Final = 33

TCG_COST: Final = (
    "guests run translated (TCG): 10 to 50 times slower, a tiny one boots in 5 to 15 s, a full Debian in minutes"
)

_lock = threading.Lock()
_known: dict[tuple[str, str, str], "Accelerator"] = {}


@dataclass(frozen=True, slots=True)
class Accelerator:
    """The choice, and what it means in words."""

    kind: AcceleratorKind
    words: str


def choose_accelerator(data: Path, settings: Settings) -> Accelerator:
    """The accelerator of this host; costs under a second the first time after a boot."""
    if settings.accelerator == "tcg":
        return Accelerator(AcceleratorKind.TCG, f"TCG, as set; {TCG_COST}")
    if settings.accelerator == "kvm":
        return Accelerator(AcceleratorKind.KVM, "KVM, as set (not proved)")
    key = (str(data), settings.qemu, boot_id())
    with _lock:
        if key not in _known:
            _known[key] = _cached(data, settings.qemu)
        return _known[key]


def _cached(data: Path, qemu: str) -> Accelerator:
    host = {"boot_id": boot_id(), "kernel": platform.release(), "qemu": _version(qemu)}
    with contextlib.suppress(OSError, ValueError, KeyError):
        kept = json.loads((data / FILE).read_bytes())
        if kept["host"] == host:
            return Accelerator(AcceleratorKind(kept["kind"]), str(kept["words"]))
    found = prove(qemu)
    temp = data / (FILE + ".new")
    with contextlib.suppress(OSError):
        temp.write_text(json.dumps({"host": host, "kind": found.kind.value, "words": found.words}))
        temp.rename(data / FILE)
    return found


def prove(qemu: str) -> Accelerator:
    """Runs both proofs."""
    usable, why = _probe()
    if usable:
        usable, why = _boots_a_sector(qemu)
    if usable:
        return Accelerator(AcceleratorKind.KVM, "KVM (proved)")
    return Accelerator(AcceleratorKind.TCG, f"TCG ({why}); {TCG_COST}")


def _probe() -> tuple[bool, str]:
    argv = [sys.executable, "-S", "-s", "-P", "-m", "amiable.vm.kvm_probe"]
    try:
        done = subprocess.run(
            argv, env={"PYTHONPATH": str(SOURCE_ROOT)}, capture_output=True, timeout=PROBE_SECONDS_MAX, check=False
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return False, f"KVM: a test guest did not end within {PROBE_SECONDS_MAX} s"
    except (OSError, ValueError):
        return False, "KVM: the test guest crashed"
    return bool(answer["usable"]), str(answer["why"])


def _boots_a_sector(qemu: str) -> tuple[bool, str]:
    program = shutil.which(qemu)
    if program is None:
        return False, f"{qemu} is not installed"
    with tempfile.NamedTemporaryFile(prefix="amiable-sector-") as sector:
        sector.write(BOOT_SECTOR)
        sector.flush()
        argv = [
            program,
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-accel",
            "kvm",
            "-cpu",
            "host",
            "-m",
            "32M",
        ]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-no-reboot"]
        argv += ["-drive", f"if=ide,format=raw,readonly=off,snapshot=on,file={sector.name}"]
        try:
            status = subprocess.run(argv, capture_output=True, timeout=SECTOR_SECONDS_MAX, check=False).returncode
        except subprocess.TimeoutExpired:
            return False, f"KVM: a boot sector did not run within {SECTOR_SECONDS_MAX} s"
        except OSError as error:
            return False, f"{qemu} cannot be run: {error.strerror}"
    return status == SECTOR_STATUS, f"KVM: QEMU with the host's processor ended with status {status}"


def _version(qemu: str) -> str:
    program = shutil.which(qemu)
    if program is None:
        return ""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, timeout=VERSION_SECONDS_MAX, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").partition("\n")[0]
