"""Images of small directories, looked at with e2fsprogs' own programs; and everything that is refused, with nothing left behind."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amiable.bundle.volume import contents
from amiable.bundle.volume.filters import Filters
from amiable.bundle.volume.image import Image, Wish, make
from amiable.bundle.volume.selection import Report, Selection
from amiable.model.errors import LocalRefusal
from amiable.model.units import MIB
from tests.support.ordinary_user import SETPRIV, interpreter

SIZE = 64 * MIB


def debugfs(image: Path, request: str) -> str:
    done = subprocess.run(
        ["debugfs", "-R", request, str(image)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def check_file_system(image: Path) -> None:
    done = subprocess.run(["e2fsck", "-fn", str(image)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


def image_of(root: Path, folder: Path, **wish: Any) -> Image:
    """A checked image of ``root``."""
    made = make(Wish(volume=root, size_bytes=SIZE, scheme="none", **wish), folder / "image")
    check_file_system(made.path)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A volume with a file of every kind that this user may make."""
    root = tmp_path / "root"
    for folder in ("etc", "srv/deep", "tmp", "proc", "dev", "lost+found"):
        (root / folder).mkdir(parents=True)
    (root / "etc/passwd").write_text("root\n")
    (root / "etc/fstab").write_text("/dev/sda1 / ext3 defaults 0 1\n")
    (root / "etc/machine-id").write_text("0123\n")
    (root / "tmp/gone").write_text("temporary")
    (root / "lost+found/old").write_text("old")
    (root / "srv/data").write_bytes(b"some data" * 10_000)
    os.link(root / "srv/data", root / "srv/deep/again")
    (root / "srv/link").symlink_to("../etc/passwd")
    (root / "srv/long").symlink_to("x" * 300)
    os.mkfifo(root / "srv/pipe", 0o640)
    with (root / "srv/sparse").open("wb") as file:
        file.truncate(40 * MIB)
        os.pwrite(file.fileno(), b"island", 20 * MIB)
    (root / "srv/line\nbreak").write_text("odd")
    (root / "srv/\udcff\udcfe").write_text("not UTF-8")
    (root / "srv/data").chmod(0o4751)
    os.utime(root / "srv/data", ns=(1_000_000_001, 4_000_000_000_123_456_789))
    return root


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
def test_every_kind_of_file_arrives_with_all_it_carries(kind: str, root: Path, tmp_path: Path) -> None:
    os.setxattr(root / "srv/data", "user.small", b"value")
    os.setxattr(root / "srv/deep", "user.large", b"v" * 3000)
    made = image_of(root, tmp_path, type=kind, label="my root", uuid=UUID(int=7))
    told = debugfs(made.path, "stat /srv/data")
    assert re.search(r"Mode:  04751", told) and re.search(r"Links: 2 ", told) and 'user.small (5) = "value"' in told
    assert re.search(r"mtime: 0x[0-9a-f]{8}:\w+ -- .* 2096", told)
    assert f"User: {os.getuid():5}   Group: {os.getgid():5}" in told
    assert re.findall(r"Inode: (\d+)", told) == re.findall(r"Inode: (\d+)", debugfs(made.path, "stat /srv/deep/again"))
    assert "user.large (3000)" in debugfs(made.path, "stat /srv/deep")
    assert 'Fast link dest: "../etc/passwd"' in debugfs(made.path, "stat /srv/link")
    assert "Type: FIFO    Mode:  0640" in debugfs(made.path, "stat /srv/pipe")
    sparse = debugfs(made.path, "stat /srv/sparse")
    assert f"Size: {40 * MIB}" in sparse and int(re.findall(r"Blockcount: (\d+)", sparse)[0]) <= 40
    header = subprocess.run(["dumpe2fs", "-h", str(made.path)], capture_output=True, text=True, check=True).stdout
    assert "Filesystem volume name:   my root" in header and f"Filesystem UUID:          {UUID(int=7)}" in header
    assert ("extent" in header, "has_journal" in header) == (kind == "ext4", kind != "ext2")


def test_contents_and_names_arrive_byte_by_byte(root: Path, tmp_path: Path) -> None:
    made = image_of(root, tmp_path)
    back = tmp_path / "back"
    back.mkdir()
    debugfs(made.path, f"rdump /srv {back}")
    assert sorted(os.listdir(bytes(back / "srv"))) == sorted(  # noqa: PTH208
        name
        for name in os.listdir(bytes(root / "srv"))  # noqa: PTH208
        if name != b"pipe"  # debugfs writes no pipes
    )
    for name in ("data", "deep/again", "sparse", "line\nbreak", "\udcff\udcfe"):
        assert (back / "srv" / name).read_bytes() == (root / "srv" / name).read_bytes()
    assert str((back / "srv/long").readlink()) == "x" * 300


def test_folders_of_the_running_system_stay_empty_and_the_minimal_devices_are_there(root: Path, tmp_path: Path) -> None:
    made = image_of(root, tmp_path)
    assert "gone" not in debugfs(made.path, "ls /tmp") and "old" not in debugfs(made.path, "ls /lost+found")
    assert "Device major/minor number: 01:03" in debugfs(made.path, "stat /dev/null")
    assert "Size: 0\n" in debugfs(made.path, "stat /etc/machine-id")
    assert debugfs(made.path, "cat /etc/fstab").split()[:3] == [f"UUID={made.identity.uuid}", "/", "ext4"]


def test_folders_with_thousands_of_names_are_sound(root: Path, tmp_path: Path) -> None:
    for number in range(3000):
        (root / f"srv/deep/a name of some length, number {number}").touch()
    made = image_of(root, tmp_path)
    assert "number 2999" in debugfs(made.path, "ls /srv/deep")


def test_secrets_are_left_out_and_told_and_certificates_stay(root: Path, tmp_path: Path) -> None:
    (root / "etc/ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (root / "etc/key.pem").write_text("-----BEGIN RSA PRIVATE KEY-----\n")
    (root / "etc/pgp.key").write_text("-----BEGIN PGP PRIVATE KEY BLOCK-----\n")
    (root / "srv/.bash_history").write_text("secret")
    made = image_of(root, tmp_path)
    assert ("etc/pgp.key", "private key") in made.report.left_out
    assert ("etc/key.pem", "private key") in made.report.left_out and (
        "srv/.bash_history",
        "history",
    ) in made.report.left_out
    names = debugfs(made.path, "ls /etc")
    assert "ca.pem" in names and "key.pem" not in names
    (tmp_path / "image").unlink()
    assert "key.pem" in debugfs(image_of(root, tmp_path, filters=Filters(secrets=False)).path, "ls /etc")


def test_the_image_does_not_take_itself_and_sockets_stay_behind(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "srv/sock"))
        made = make(Wish(volume=root, size_bytes=SIZE, scheme="none"), root / "image")
    reasons = dict(made.report.left_out)
    assert reasons["srv/sock"] == "socket" and "the bundle itself" in reasons.values()


def test_with_a_script_too_the_image_does_not_take_itself(root: Path, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (root / "mine").mkdir()
    wish = Wish(volume=root, size_bytes=SIZE, scheme="none", script=script, outputs=(root / "mine",))
    reasons = dict(make(wish, root / "image").report.left_out)
    assert list(reasons.values()).count("the bundle itself") == 2 and reasons["mine"] == "the bundle itself"


def test_a_script_changes_the_image_and_never_the_volume(root: Path, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(
        '#!/bin/sh\nset -e\ncat "$1/etc/fstab"\necho new >"$1/etc/new"\nrm -r "$1/srv/deep"\necho more >>"$1/etc/passwd"\n'
    )
    script.chmod(0o755)
    made = image_of(root, tmp_path, script=script)
    assert debugfs(made.path, "cat /etc/new") == "new\n"
    assert debugfs(made.path, "cat /etc/passwd") == "root\nmore\n"
    assert "deep" not in debugfs(made.path, "ls /srv")
    assert (root / "etc/passwd").read_text() == "root\n" and (root / "srv/deep/again").exists()


def test_a_script_that_fails_is_told_with_its_exit_code_and_leaves_nothing(root: Path, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 7\n")
    script.chmod(0o755)
    mounts = Path("/proc/self/mountinfo").read_text()
    with pytest.raises(LocalRefusal, match="ended with 7"):
        image_of(root, tmp_path, script=script)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "script"]
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_a_script_that_cannot_run_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("no program")
    with pytest.raises(LocalRefusal, match="no program that can be run"):
        image_of(root, tmp_path, script=tmp_path / "script")


def test_a_tree_that_is_too_large_is_refused_with_the_size_it_needs(root: Path, tmp_path: Path) -> None:
    (root / "srv/large").write_bytes(os.urandom(80 * MIB))
    with pytest.raises(LocalRefusal, match=r"needs an image of (\d+) MiB; 64 MiB were asked for") as refused:
        image_of(root, tmp_path)
    assert not (tmp_path / "image").exists() and len(list(tmp_path.iterdir())) == 1
    needed = int(re.findall(r"--size (\d+)", refused.value.advice)[0])
    check_file_system(make(Wish(volume=root, size_bytes=needed * MIB, scheme="none"), tmp_path / "image").path)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"scheme": "gpt"}, "no kernel in /boot"),
        ({"label": "seventeen letters"}, "at most 16 bytes"),
        ({"volume": Path("/nowhere")}, "is no folder"),
    ],
)
def test_what_cannot_be_made_is_refused_and_nothing_remains(
    wish: dict[str, Any], words: str, root: Path, tmp_path: Path
) -> None:
    with pytest.raises(LocalRefusal, match=words):
        make(Wish(**{"volume": root, "size_bytes": SIZE, "scheme": "none", **wish}), tmp_path / "image")
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_a_link_where_a_folder_is_needed_is_refused_by_its_name(root: Path, tmp_path: Path) -> None:
    (root / "dev").rmdir()
    (root / "dev").symlink_to("elsewhere")
    with pytest.raises(LocalRefusal, match="/dev is no folder in the volume"):
        image_of(root, tmp_path)
    assert not (tmp_path / "image").exists()


def test_an_image_that_exists_is_not_overwritten(root: Path, tmp_path: Path) -> None:
    (tmp_path / "image").write_text("mine")
    with pytest.raises(LocalRefusal, match="exists already"):
        image_of(root, tmp_path)
    assert (tmp_path / "image").read_text() == "mine"


def test_a_full_disk_is_told_and_nothing_remains(root: Path, tmp_path: Path) -> None:
    (root / "srv/data2").write_bytes(os.urandom(12 * MIB))
    command = ["prlimit", f"--fsize={70 * MIB}", sys.executable, "-m", "amiable.cli.main", "bundle", "volume"]
    command += ["--volume", str(root), "-P", "none", "--size", "80", "--image-only", str(tmp_path / "image")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (74, "")
    assert "cannot be written: File too large" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_what_an_ordinary_user_cannot_read_is_named() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "root/etc").mkdir(parents=True)
        (folder / "root/etc/shadow").touch(mode=0)
        (folder / "out").mkdir(mode=0o777)
        (folder / "out").chmod(0o777)
        folder.chmod(0o755)
        python, environment = interpreter()
        command = [*(SETPRIV if os.geteuid() == 0 else ()), python, "-m", "amiable.cli.main", "bundle", "volume"]
        command += ["-v", str(folder / "root"), "-P", "none", "-s", "64", "--image-only", str(folder / "out/image")]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **environment}
        )
        assert done.returncode == 74, done.stderr
        assert "/etc/shadow cannot be read" in done.stderr and "run this as root" in done.stderr
        assert list((folder / "out").iterdir()) == []


def test_what_vanishes_or_grows_during_the_walk_is_reported(root: Path, tmp_path: Path) -> None:
    report, selection = Report(), Selection(root, Filters())
    total = contents.measure(selection, {})
    assert total.entries > 10
    walk = selection.walk(report)
    for entry in walk:
        if entry.path == "srv/data":
            (root / "srv/line\nbreak").unlink()
            (root / "srv/pipe").unlink()
            break
    rest = [entry.path for entry in walk]
    assert "srv/link" in rest and "srv/pipe" not in rest
    assert ("srv/pipe", "vanished while it was read") in report.left_out


def test_a_folder_replaced_by_a_link_leads_nowhere(root: Path) -> None:
    (root.parent / "outside").mkdir()
    (root.parent / "outside/secret").write_text("secret")
    report = Report()
    paths = []
    for entry in Selection(root, Filters()).walk(report):
        paths.append(entry.path)
        if entry.path == "srv/deep":
            (root / "srv/deep/again").unlink()
            (root / "srv/deep").rmdir()
            (root / "srv/deep").symlink_to(root.parent / "outside")
    assert "srv/deep/secret" not in paths
    assert ("srv/deep", "replaced while it was read") in report.left_out


names = st.binary(min_size=1, max_size=60).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(names, st.binary(max_size=20_000), max_size=12))
def test_any_names_and_contents_come_back(files: dict[bytes, bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("law")
    (folder / "root/all").mkdir(parents=True)
    (folder / "back").mkdir()
    for name, content in files.items():
        (folder / "root/all" / os.fsdecode(name)).write_bytes(content)
    made = image_of(folder / "root", folder, filters=Filters(secrets=False))
    debugfs(made.path, f"rdump /all {folder / 'back'}")
    back = {os.fsencode(path.name): path.read_bytes() for path in (folder / "back/all").iterdir()}
    assert back == files


def test_two_images_may_be_made_at_once(root: Path, tmp_path: Path) -> None:
    failures: list[Exception] = []

    def one(name: str) -> None:
        try:
            check_file_system(make(Wish(volume=root, size_bytes=SIZE, scheme="none"), tmp_path / name).path)
        except (LocalRefusal, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


MOUNTS = """\
set -e
root=$1; shift
mount -t tmpfs tmpfs "$root/memory"; touch "$root/memory/gone"
mount --bind "$root/etc" "$root/bound"
mkdir "$root/memory/lower"; touch "$root/memory/lower/kept"
mount -t overlay -o "lowerdir=$root/memory/lower:$root/etc" overlay "$root/local"
exec "$@"
"""


@pytest.mark.parametrize("with_script", [False, True])
def test_mounts_below_the_volume_are_taken_or_left_by_their_kind(with_script: bool, root: Path, tmp_path: Path) -> None:
    for name in ("memory", "bound", "local"):
        (root / name).mkdir()
    script = tmp_path / "script"
    script.write_text('#!/bin/sh\necho new >"$1/local/new"\nls "$1/memory" "$1/bound"\n')
    script.chmod(0o755)
    command = ["unshare", "--mount", "--propagation", "private", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    command += ["sh", "-c", MOUNTS, "sh", str(root), sys.executable, "-m", "amiable.cli.main", "bundle", "volume"]
    command += ["-v", str(root), "-P", "none", "-s", "64", "--image-only", str(tmp_path / "image")]
    command += ["--script", str(script)] if with_script else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    image = tmp_path / "image"
    check_file_system(image)
    assert "left out: /memory/*: file system of type tmpfs" in done.stderr
    assert "left out: /bound/*: bind mount" in done.stderr
    assert debugfs(image, "ls -p /memory").count("/") == debugfs(image, "ls -p /bound").count("/")
    assert "passwd" not in debugfs(image, "ls /bound") and "gone" not in debugfs(image, "ls /memory")
    local = debugfs(image, "ls /local")
    assert "kept" in local and "passwd" in local and ("new" in local) == with_script
