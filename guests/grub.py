"""GRUB on a guest's disk: the package's way, with the few modules that a guest's menu needs; root is found by its label."""

from __future__ import annotations

from pathlib import Path

from amiable.bundle.volume import boot_loader
from amiable.bundle.volume.disk import Plan
from amiable.model.errors import LocalRefusal
from amiable.vm.appliance.programs import BuildFailure

MODULES = (
    "part_gpt",
    "ext2",
    "normal",
    "configfile",
    "linux",
    "search",
    "search_label",
    "serial",
    "terminal",
    "echo",
    "test",
)


def install(disk: Path, plan: Plan, *, root_label: str) -> None:
    """Makes ``disk`` start GRUB, which reads /boot/grub/grub.cfg of the file system ``root_label``."""
    try:
        boot_loader.install(disk, plan, search=f"--label {root_label}", modules=MODULES)
    except LocalRefusal as refusal:
        raise BuildFailure(refusal.message, hint=refusal.advice) from refusal
