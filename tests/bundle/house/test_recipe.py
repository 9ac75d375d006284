"""The house images' parts: what both have, and what tells them apart."""

import configparser
import subprocess
from pathlib import Path

import pytest

from amiable.bundle.house.recipe import FILES, LABEL, MASKED, USER, Kind, recipe

KINDS: tuple[Kind, ...] = ("small", "small-sysv")
SCRIPTS = ("functions", "grow", "instance", "first-run", "getty", "amiable-instance", "amiable-first-run")


def test_only_one_init_system_is_in_each() -> None:
    systemd, sysv = (set(recipe(kind).system.packages) for kind in KINDS)
    assert "systemd-sysv" in systemd and "sysvinit-core" not in systemd
    assert "sysvinit-core" in sysv and not {"systemd", "systemd-sysv", "dbus"} & sysv
    assert "acpid" in sysv, "nothing else hears the power button there"


@pytest.mark.parametrize("kind", KINDS)
def test_each_can_be_held_still_for_an_image(kind: Kind) -> None:
    assert "qemu-guest-agent" in recipe(kind).system.packages


@pytest.mark.parametrize("kind", KINDS)
def test_root_is_found_by_its_label_and_the_console_is_serial(kind: Kind) -> None:
    system = recipe(kind).system
    menu = system.files["boot/grub/grub.cfg"].text
    assert system.label == LABEL and f"root=LABEL={LABEL} " in menu
    assert menu.index("console=tty0") < menu.index("console=ttyS0"), "the last one is /dev/console"
    assert system.files["etc/fstab"].text.startswith(f"LABEL={LABEL} / ")


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_logs_in_by_password_or_as_root_and_the_user_may_become_root(kind: Kind) -> None:
    files = recipe(kind).system.files
    lines = files["etc/ssh/sshd_config.d/10-amiable.conf"].text.splitlines()
    assert {"PasswordAuthentication no", "PermitRootLogin no"} <= set(lines)
    sudoers = files["etc/sudoers.d/90-amiable"]
    assert sudoers.text == f"{USER} ALL=(ALL) NOPASSWD:ALL\n" and sudoers.mode == 0o440


@pytest.mark.parametrize("kind", KINDS)
def test_the_images_differ_in_the_names_that_uuids_follow_from(kind: Kind) -> None:
    assert recipe(kind).system.name == f"amiable-{kind}" and recipe(kind).kind == kind


def test_the_agent_runs_before_the_ssh_daemon_and_the_user_data_after_it() -> None:
    early, late = (unit("amiable-instance.service"), unit("amiable-first-run.service"))
    assert early["Unit"]["Before"] == "ssh.service" and "networking.service" in early["Unit"]["After"]
    assert late["Unit"]["After"].split() == ["amiable-instance.service", "ssh.service"]
    assert "X-Start-Before:    ssh" in (FILES / "amiable-instance").read_text()
    assert "amiable-instance ssh" in (FILES / "amiable-first-run").read_text()


def test_every_unit_file_that_is_enabled_is_in_the_image() -> None:
    system = recipe("small").system
    enabled = [word for command in system.commands for word in command.split() if word.endswith(".service")]
    assert enabled and {f"etc/systemd/system/{name}" for name in enabled} <= set(system.files)
    assert not set(enabled) & set(MASKED)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_one_that_a_posix_shell_reads(name: str) -> None:
    path = FILES / name
    done = subprocess.run(["sh", "-n", str(path)], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert name == "functions" or path.read_text().startswith("#!/bin/sh\n")


def test_every_file_of_the_folder_goes_into_an_image() -> None:
    texts = {file.text for kind in KINDS for file in recipe(kind).system.files.values()}
    assert [path.name for path in Path(FILES).iterdir() if path.read_text() not in texts] == []


class UnitParser(configparser.ConfigParser):
    """Keeps the case of names, which means something to systemd."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def unit(name: str) -> configparser.ConfigParser:
    """A unit file as systemd reads it."""
    parser = UnitParser(strict=False)
    parser.read_string((FILES / name).read_text())
    return parser
