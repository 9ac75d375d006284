"""The demo: images built, imported, bundled, registered, shared, launched and logged into, by the commands a person would type.

    make demo [GUEST=debian]     make demo-stop

It begins with an empty server every time.  What the guests say of themselves is compared with what was asked for; a difference ends
the demo with exit code 1.  The server stays up.
"""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

from amiable.vm.appliance.programs import BuildFailure
from guests import debian
from guests.outputs import default_cache
from guests.tiny.build import build_cached
from scripts import demo_stage as stage
from scripts.demo_stage import WORK, DemoFailure, run, say
from scripts.demo_story import KEY_FILE, Guest, Story, ask_debian, ask_tiny, compare, compare_root, report

GIB = 1 << 30
ROOT_GIB = 2
DEBIAN_ROOT_GIB = 4
LOGIN_SECONDS_MAX = 180
DEBIAN_SECONDS_MAX = 900
REGISTER_SECONDS_MAX = 180
KEY_NAME = "demo"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("verb", choices=["start", "stop"])
    parser.add_argument("--guest", choices=["tiny", "debian"], default="tiny")
    arguments = parser.parse_args()
    try:
        with stage.alone():
            if arguments.verb == "stop":
                say("the demo is ended" if stage.stop() else "there is no demo")
                return 0
            return play(with_debian if arguments.guest == "debian" else with_tiny)
    except DemoFailure as failure:
        return stage.failed(failure)
    except BuildFailure as failure:
        return stage.failed(DemoFailure(f"{failure}\nhint: {failure.hint}"))
    except subprocess.TimeoutExpired as late:
        return stage.failed(DemoFailure(f"took longer than {late.timeout:.0f} s: {late.cmd}"))
    except KeyboardInterrupt:
        return stage.interrupted()


def play(acts: Callable[[Story], None]) -> int:
    """The whole demo; its exit code."""
    story = Story()
    if stage.FOLDER.exists():
        with story.phases.phase("End the former demo"):
            stage.stop()
    WORK.mkdir(parents=True)
    acts(story)
    return report(story)


def with_tiny(story: Story) -> None:
    with story.phases.phase("Build the tiny guest: a kernel of Debian's, busybox, an SSH daemon"):
        guest = build_cached(default_cache())
        versions = json.loads((guest / "kernels.json").read_text())
        for name in ("tiny-hvm.img", "tiny-pv.ext4", "vmlinuz-other", "initrd-other"):
            say(f"     {name:<14} {(guest / name).stat().st_size >> 20} MiB")
    open_stage(story)
    first = hvm_path(story, guest / "tiny-hvm.img")
    with story.phases.phase("Log into the HVM instance"):
        facts = ask_tiny(story, first)
        compare(story, first, facts, {"kernel": versions["vmlinuz"], "root-size-bytes": str(ROOT_GIB * GIB)})
        compare_root(story, first, facts, partitioned=True)
    second, kernel, ramdisk = classic_path(story, guest)
    with story.phases.phase("Log into the classic instance"):
        facts = ask_tiny(story, second)
        expected = {"kernel": versions["vmlinuz-other"], "kernel-id": kernel, "ramdisk-id": ramdisk}
        compare(story, second, facts, expected)
        compare_root(story, second, facts, partitioned=False)


def with_debian(story: Story) -> None:
    with story.phases.phase("Build Debian 12 with cloud-init (some minutes the first time)"):
        folder = debian.build_cached(default_cache())
        version = json.loads((folder / "kernels.json").read_text())["vmlinuz"]
        say(f"     debian-hvm.img {(folder / 'debian-hvm.img').stat().st_size >> 20} MiB")
    open_stage(story)
    guest = hvm_path(story, folder / "debian-hvm.img", is_debian=True)
    with story.phases.phase("Wait for cloud-init and log into Debian (minutes without KVM)"):
        facts = ask_debian(story, guest)
        machine = {"kernel": version, "root-size-bytes": str(DEBIAN_ROOT_GIB * GIB)}
        compare(
            story,
            guest,
            facts,
            {"cloud-id": "aws", "cloud-init": "done", "datasource": "ec2", "grown": "yes", **machine},
        )
        compare_root(story, guest, facts, partitioned=True)


# ── the acts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def open_stage(story: Story) -> None:
    """A server and two accounts: the administrator's, and a second one."""
    with story.phases.phase("Start the server on an empty data directory"):
        story.note("server", stage.start_server(), "data in .demo/data, log in .demo/server.log")
    with story.phases.phase("Make a second account"):
        story.administrator = stage.environment_of()
        made = run(
            "amiable", "account", "create", "second", "--output", "json", environment=story.administrator, show=False
        )
        story.user_account = json.loads(made)["AccountId"]
        story.note("account", story.user_account, "the second account: launches what is shared with it")
        story.user = stage.environment_of(story.user_account)
        key = run("aws", "ec2", "create-key-pair", "--key-name", KEY_NAME, "--key-type", "ed25519", "--query", "KeyMaterial",
                  "--output", "text", environment=story.user, show=False)  # fmt: skip
        KEY_FILE.touch(mode=0o600)
        KEY_FILE.write_text(key)
        story.note("key pair", KEY_NAME, "made by stock aws; private half in .demo/made/demo.pem")


def hvm_path(story: Story, disk: Path, *, is_debian: bool = False) -> Guest:
    """Path 1: a disk becomes an EBS-backed image, is shared, and the second account launches it."""
    with story.phases.phase("Path 1: import the disk as an image (EBS direct), share it"):
        image = run("amiable", "image", "import", disk, "--name", disk.stem, environment=story.administrator).strip()
        story.note("image", image, f"{disk.stem}, of the administrator, EBS-backed, hvm")
        expect_refusal(story, image)
        run("amiable", "image", "share", image, "--account", story.user_account, environment=story.administrator)
    with story.phases.phase("Launch it from the second account"):
        if is_debian:
            return launch(
                story, image, "debian", "--type", "t2.micro", "--root-size", str(DEBIAN_ROOT_GIB), login="debian"
            )
        return launch(story, image, "hvm", "--type", "amiable.tiny", "--root-size", str(ROOT_GIB), login="root")


def classic_path(story: Story, guest: Path) -> tuple[Guest, str, str]:
    """Path 2: kernel and ramdisk apart, a bundle in a bucket, an image by its manifest."""
    with story.phases.phase("Path 2: register kernel and ramdisk (administrator)"):
        said = run("amiable", "kernel", "add", "--kernel", guest / "vmlinuz-other", "--ramdisk", guest / "initrd-other",
                   "--name", "tiny", "--output", "json", environment=story.administrator, show=False)  # fmt: skip
        kernel, ramdisk = (row["ImageId"] for row in json.loads(said))
        story.note("kernel", kernel, "tiny-kernel")
        story.note("ramdisk", ramdisk, "tiny-ramdisk")
        say(f"     {kernel} {ramdisk}")
    with story.phases.phase("Bundle the root file system, upload it, register its manifest"):
        bundle = WORK / "bundle"
        bundle.mkdir()
        manifest = run("amiable", "bundle", "create", "-i", guest / "tiny-pv.ext4", "-d", bundle, "--kernel", kernel,
                       "--ramdisk", ramdisk, "-r", "x86_64", environment=story.user).strip()  # fmt: skip
        say(f"     {len(list(bundle.iterdir())) - 1} parts and the manifest")
        bucket = f"bundles-{story.user_account}"
        location = run("amiable", "bundle", "upload", "-m", manifest, "-b", bucket, environment=story.user).strip()
        story.note("bundle", location, "compressed, encrypted, signed, in a bucket of the second account")
        image = run("aws", "ec2", "register-image", "--name", "tiny-classic", "--image-location", location, "--query",
                    "ImageId", "--output", "text", environment=story.user).strip()  # fmt: skip
        run(
            "aws",
            "ec2",
            "wait",
            "image-available",
            "--image-ids",
            image,
            environment=story.user,
            seconds_max=REGISTER_SECONDS_MAX,
        )
        story.note("image", image, "tiny-classic, of the second account, instance-store, paravirtual")
    with story.phases.phase("Launch the classic image"):
        return launch(story, image, "classic", "--type", "amiable.tiny", login="root"), kernel, ramdisk


def expect_refusal(story: Story, image: str) -> None:
    """Before it is shared, the second account may not launch the image."""
    command = ["aws", "ec2", "run-instances", "--image-id", image, "--instance-type", "amiable.tiny"]
    try:
        run(*command, environment=story.user, show=False)
    except DemoFailure as refused:
        if "AuthFailure" not in str(refused) and "InvalidAMIID.NotFound" not in str(refused):
            raise
        say(f"     {str(refused).splitlines()[-1]}")
        say("     … as it must be: it is not shared with this account yet")
    else:
        raise DemoFailure(f"{image} was launched by an account that it is not shared with")


def launch(story: Story, image: str, name: str, *options: str, login: str) -> Guest:
    """Launches with a nonce in the user data, so that the guest can prove that it read it."""
    nonce = secrets.token_hex(8)
    user_data = WORK / f"user-data-{name}"
    user_data.write_text(f"#!/bin/sh\nmkdir -p /var/lib/amiable\necho {nonce} >/var/lib/amiable/nonce\n")
    instance = run("amiable", "launch", image, *options, "--key", KEY_NAME, "--user-data", user_data, "--name", f"demo-{name}",
                   "--wait", environment=story.user).strip()  # fmt: skip
    story.note("instance", instance, f"demo-{name}, of {image}")
    guest = Guest(name, instance, nonce, login, DEBIAN_SECONDS_MAX if login == "debian" else LOGIN_SECONDS_MAX)
    story.guests.append(guest)
    return guest


if __name__ == "__main__":
    raise SystemExit(main())
