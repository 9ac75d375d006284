"""A full Debian 12 with cloud-init: ``python -m guests.debian OUTDIR`` makes ``debian-hvm.img`` and ``kernels.json``.

Nothing in it knows of Amiable: no kernel parameter, no seed, no data source chosen.  It finds Ec2 by itself, as it would at AWS,
because the machine says so (SMBIOS) and the metadata service answers.  Packages come from the sources that this machine's own
``apt`` is configured with.  Made by mmdebstrap, as root or in a user namespace (then the package ``uidmap`` must be there).
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from functools import partial
from pathlib import Path

from amiable.vm.appliance.programs import BuildFailure, run
from guests import disk, ext4
from guests.command import main
from guests.outputs import build_once, builder_sources, digest_of_files

SUITE = "bookworm"
LABEL = "debian-root"
ROOT_BYTES = 1200 << 20

PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "udev", "kmod", "linux-image-cloud-amd64", "initramfs-tools", "zstd",
    "cloud-init", "cloud-guest-utils", "fdisk", "e2fsprogs", "openssh-server", "sudo", "locales",
    "ifupdown", "isc-dhcp-client", "iproute2", "netbase", "ca-certificates", "less",
)  # fmt: skip

MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer",
)  # fmt: skip
"""Work that only delays the first boot of an instance."""

UNUSED = ("/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/doc/*")

FILES = {
    "etc/cloud/cloud.cfg.d/20_quick.cfg": "ssh_genkeytypes: [ed25519]\nlocale: C.UTF-8\nmanage_etc_hosts: true\n",
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/fstab": f"LABEL={LABEL} / ext4 errors=remount-ro,discard 0 1\n",
    "etc/hostname": "debian\n",
    "boot/grub/grub.cfg": f"""\
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
linux /vmlinuz root=LABEL={LABEL} ro console=tty0 console=ttyS0,115200 panic=5 quiet
initrd /initrd.img
boot
""",
}


def build(folder: Path, cache: Path) -> bool:
    """Makes the image in ``folder``; returns whether anything had to be built.  It is not made again for newer packages."""
    del cache  # mmdebstrap keeps nothing between two builds
    return build_once(folder, _inputs(), partial(_build, _package_sources()))


def build_cached(cache: Path) -> Path:
    """A folder below ``cache`` that holds the image and never changes: its name follows from the builder."""
    folder = cache / "guests" / f"debian-{_inputs()['builder'][:16]}"
    build_once(folder, _inputs(), partial(_build, _package_sources()))
    return folder


def _inputs() -> dict[str, str]:
    return {"builder": digest_of_files(builder_sources("debian"))}


def _package_sources() -> list[str]:
    """The lines of sources.list that this machine uses for the suite, security updates included."""
    said = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    ).stdout
    lines = [f"deb {line}" for line in said.splitlines() if re.search(rf" {SUITE}(-updates|-security)? main$", line)]
    if not lines:
        raise BuildFailure(f"apt has no source of Debian {SUITE}", hint="sudo apt-get update, on Debian 12")
    return lines


def _build(sources: list[str], folder: Path) -> None:
    image = folder / "debian-hvm.img"
    with tempfile.TemporaryDirectory(prefix="amiable-debian-", dir=folder) as scratch:
        archive = Path(scratch) / "root.tar"
        _bootstrap(sources, archive)
        disk.partition(image, name="amiable-debian", root_bytes=ROOT_BYTES)
        _write_root(archive, image, Path(scratch))
    disk.make_bootable(image, root_label=LABEL)
    (folder / "kernels.json").write_text(json.dumps({"vmlinuz": _kernel_version(image)}) + "\n")


def _kernel_version(image: Path) -> str:
    """What ``uname -r`` will tell: the link /vmlinuz points to the newest kernel."""
    said = run(["debugfs", "-R", "stat /vmlinuz", f"{image}?offset={disk.ROOT_OFFSET_BYTES}"]).stdout
    found = re.search(r'link dest: "boot/vmlinuz-([^"]+)"', said)
    if found is None:
        raise BuildFailure("the new root file system has no /vmlinuz")
    return found[1]


def _bootstrap(sources: list[str], archive: Path) -> None:
    """Installs the packages into ``archive``."""
    with tempfile.TemporaryDirectory(prefix="amiable-files-") as scratch:
        scratch_path = Path(scratch)
        scratch_path.chmod(0o755)
        hooks = [f"--customize-hook=copy-in {scratch_path}/{top} /" for top in ("etc", "boot")]
        for path, text in FILES.items():
            target = scratch_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        units = " ".join(MASKED)
        hooks += [
            f'--customize-hook=for unit in {units}; do ln -sf /dev/null "$1/etc/systemd/system/$unit"; done',
            '--customize-hook=rm -f "$1"/etc/ssh/ssh_host_* && : >"$1/etc/machine-id"',
        ]
        run(
            ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "--skip=output/dev"]
            + ["--aptopt=Acquire::Languages none", *(f"--dpkgopt=path-exclude={pattern}" for pattern in UNUSED), *hooks]
            + [SUITE, str(archive), "-"],
            input_text="".join(f"{line}\n" for line in sources),
        )


def _write_root(archive: Path, image: Path, scratch: Path) -> None:
    """The archive as the root file system of ``image``; where an ordinary user builds, in a namespace that has all owners."""
    root = scratch / "root"
    script = (
        'set -e; mkdir "$1"; tar -C "$1" --numeric-owner --xattrs --xattrs-include="*" -xf "$2"; mkdir -p "$1/dev"; shift 2; '
        'status=0; "$@" || status=$?; rm -rf "$ROOT"; exit $status'
    )
    make_file_system = [
        *["mke2fs", "-q", "-F", "-t", "ext4", "-L", LABEL, "-O", ext4.FEATURES, "-d", str(root)],
        *["-E", f"root_owner=0:0,offset={disk.ROOT_OFFSET_BYTES}", str(image), f"{ROOT_BYTES // 1024}k"],
    ]
    enter = [] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--map-auto"]
    run([*enter, "sh", "-c", script, "sh", str(root), str(archive), *make_file_system], environment={"ROOT": str(root)})


if __name__ == "__main__":
    raise SystemExit(main("guests.debian", build))
