"""``amiable image build`` over a real server, with an mmdebstrap of the test's own: all of the way but Debian's packages.

The images themselves boot in tests/acceptance/test_house_images.py.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from amiable.cli.image_build import default_name
from tests.support import journey
from tests.support.processes import wait_for_end
from tests.support.server import Server, shell_environment

COMMAND = [sys.executable, "-m", "amiable.cli.main", "image", "build"]
APT = "#!/bin/sh\necho 'http://deb.example/debian/ bookworm main'\n"
MMDEBSTRAP = """\
#!/bin/sh
cat >"$TMPDIR/sources"
for word in "$@"; do archive=$before; before=$word; done
mkdir "$TMPDIR/etc" && cp "$TMPDIR/sources" "$TMPDIR/etc/sources"
tar -C "$TMPDIR" -cf "$archive" etc
"""
OFFLINE = "#!/bin/sh\ncat >/dev/null\necho \"E: Temporary failure resolving 'deb.example'\" >&2\nexit 25\n"
ENDLESS = '#!/bin/sh\ncat >/dev/null\nsleep 600 & echo $! >"$MARK"\nwait\n'


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder of programs that come before the host's, and an empty one for temporary files."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (tmp_path / "tmp").mkdir()
    write_program(programs / "apt-get", APT)
    write_program(programs / "mmdebstrap", MMDEBSTRAP)
    return tmp_path


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def environment(server: Server, host: Path, account: str | None = None) -> dict[str, str]:
    """The shell's, with the host's own programs first."""
    found = shell_environment(server, account)
    return {
        **found,
        "PATH": f"{host / 'programs'}:{found['PATH']}",
        "TMPDIR": str(host / "tmp"),
        "MARK": str(host / "mark"),
    }


def build(server: Server, host: Path, *words: str, account: str | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        env=environment(server, host, account),
        timeout=300,
        check=False,
    )


@pytest.fixture
def stranger(server: Server) -> Iterator[str]:
    """An account that is not the administrator."""
    yield journey.amiable(server, "account", "create", "stranger", "--output", "id").stdout.split()[0]


def test_an_image_is_built_published_and_kept_and_nothing_else_stays(server: Server, host: Path, stranger: str) -> None:
    kept = host / "kept.img"
    done = build(server, host, "small", "--name", "whole", "--keep", str(kept))
    assert done.returncode == 0, done.stderr
    image_id = done.stdout.strip()
    found = server.client("ec2", stranger).describe_images(Owners=["amazon"])["Images"]
    assert [row["ImageId"] for row in found] == [image_id]
    assert (found[0]["Name"], found[0]["ImageOwnerAlias"], found[0]["Public"]) == ("whole", "amazon", True)
    assert found[0]["EnaSupport"] and found[0]["RootDeviceName"] == "/dev/xvda"
    assert found[0]["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 1
    assert kept.stat().st_size == 1 << 30 and kept.stat().st_blocks * 512 < 64 << 20
    said = subprocess.run(["debugfs", "-R", "cat /etc/sources", f"{kept}?offset={40960 * 512}"], capture_output=True, text=True, env={**os.environ, "PATH": f"{os.environ['PATH']}:/sbin:/usr/sbin"}, check=False).stdout  # fmt: skip
    assert said == "deb http://deb.example/debian/ bookworm main\n"
    assert list((host / "tmp").iterdir()) == [] and sorted(path.name for path in host.iterdir()) == ["kept.img", "programs", "tmp"]  # fmt: skip

    again = build(server, host, "small", "--name", "again", "--disk", str(kept))
    assert again.returncode == 0, again.stderr
    assert f"the content is that of {image_id}" in again.stderr


def test_a_name_that_is_taken_is_refused_before_anything_is_built(server: Server, host: Path) -> None:
    assert build(server, host, "small-sysv", "--name", "taken").returncode == 0
    write_program(host / "programs" / "mmdebstrap", "#!/bin/sh\n: >$MARK\nexit 1\n")
    done = build(server, host, "small", "--name", "taken")
    assert done.returncode == 1 and "AMI name taken is already in use by AMI ami-" in done.stderr
    assert not (host / "mark").exists()


def test_only_the_administrator_builds(server: Server, host: Path, stranger: str) -> None:
    done = build(server, host, "small", account=stranger)
    assert done.returncode == 1 and "UnauthorizedOperation" in done.stderr and "administrator" in done.stderr
    assert done.stdout == ""


def test_without_a_network_nothing_stays(server: Server, host: Path) -> None:
    write_program(host / "programs" / "mmdebstrap", OFFLINE)
    done = build(server, host, "small", "--name", "offline", "--keep", str(host / "kept.img"))
    assert done.returncode == 69 and "packages cannot be fetched" in done.stderr and "apt-get update" in done.stderr
    assert sorted(path.name for path in host.iterdir()) == ["programs", "tmp"] and not list((host / "tmp").iterdir())


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("small", "--name", "ab"), 1, "AMI names must be between 3 and 128 characters"),
        (("large",), 2, "small"),
        (("small", "--keep", "/proc/version"), 1, "/proc/version is there already"),
        (("small", "--keep", "/nowhere/disk.img"), 74, "there is no folder /nowhere"),
        (("small", "--keep", "x.img", "--disk", "y.img"), 2, "--disk builds nothing"),
        (("small", "--disk", "/nowhere/disk.img"), 74, "/nowhere/disk.img"),
    ],
)
def test_what_cannot_be_done_is_refused_first(
    server: Server, host: Path, words: tuple[str, ...], status: int, said: str
) -> None:
    write_program(host / "programs" / "mmdebstrap", "#!/bin/sh\n: >$MARK\nexit 1\n")
    done = build(server, host, *words)
    assert done.returncode == status and said in done.stderr, done.stderr
    assert not (host / "mark").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_no_process_file_or_snapshot(server: Server, host: Path, number: int) -> None:
    before = snapshots(server)
    write_program(host / "programs" / "mmdebstrap", ENDLESS)
    process = subprocess.Popen(
        [*COMMAND, "small", "--name", "never", "--keep", str(host / "kept.img")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(server, host),
    )
    mark = host / "mark"
    child = journey.wait_until("the build to run", lambda: mark.read_text().strip() or None if mark.exists() else None)
    process.send_signal(number)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + number, ""), said
    wait_for_end(int(child))
    assert sorted(path.name for path in host.iterdir()) == ["mark", "programs", "tmp"]
    assert not list((host / "tmp").iterdir()) and snapshots(server) == before


def test_an_image_that_may_not_become_public_does_not_stay(host: Path) -> None:
    server = Server(host / "s" / "data", environment={"AMIABLE_IMAGES_PUBLIC_MAX": "1"}).start()
    try:
        first = build(server, host, "small", "--name", "first").stdout.strip()
        kept = snapshots(server)
        done = build(server, host, "small", "--name", "second")
        assert (done.returncode, done.stdout) == (1, "") and "ResourceLimitExceeded" in done.stderr, done.stderr
        (house,) = houses(server)
        assert [row["ImageId"] for row in house.describe_images(Owners=["self"])["Images"]] == [first]
        assert len(kept) == 1 and snapshots(server) == kept
    finally:
        assert server.close() == []


def houses(server: Server) -> list[Any]:
    """A client of the house account; none before it is made."""
    accounts = json.loads(journey.amiable(server, "account", "list", "--output", "json").stdout)
    return [server.client("ec2", row["AccountId"]) for row in accounts if row["Name"] == "house"]


def snapshots(server: Server) -> list[str]:
    """The house account's snapshots."""
    found = [ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] for ec2 in houses(server)]
    return sorted(row["SnapshotId"] for rows in found for row in rows)


def test_the_name_tells_the_day() -> None:
    assert default_name("small-sysv", datetime(2026, 1, 2, tzinfo=UTC)) == "small-sysv-debian-12-20260102"
