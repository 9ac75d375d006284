"""Started by an ordinary user, all of it works too: the server, a launch by its own namespaces, a login, an end."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cases import CHECKOUT
from tests.support.guests import tiny_guest
from tests.support.journey import amiable, facts, make_key, wait_for_state
from tests.support.server import Server

pytestmark = pytest.mark.boot

UID = 54321

AS_USER = """
set -e
mount --make-rprivate /
mount --bind "$CHECKOUT" "$VIEW"
shift
exec setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups --inh-caps=-all --bounding-set=-all \
    env HOME="$USER_HOME" PYTHONPATH="$VIEW/src:$PACKAGES" /usr/bin/python3 -B "$@"
"""
"""Debian's interpreter and a view of the checkout that an ordinary user can read, wherever both really lie."""


@pytest.fixture
def user_server() -> Iterator[Server]:
    if os.geteuid() != 0:
        pytest.fail(
            "this test becomes an ordinary user: run it as root (started by an ordinary user, every boot test is this one)"
        )
    short = Path("/tmp") / f"amiable-{os.getpid()}-u"
    view, home = short / "view", short / "home"
    view.mkdir(parents=True)
    home.mkdir()
    os.chown(home, UID, UID)
    packages = Path(sys.prefix) / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    environment = {
        "CHECKOUT": str(CHECKOUT),
        "VIEW": str(view),
        "PACKAGES": str(view / packages.relative_to(CHECKOUT)) if packages.is_relative_to(CHECKOUT) else str(packages),
        "USER_ID": str(UID),
        "USER_HOME": str(home),
    }
    server = Server(
        home / "data",
        environment=environment,
        arguments=("--network", "namespace"),
        prefix=("unshare", "-m", "bash", "-c", AS_USER, "as-user"),
    )
    try:
        yield server
    finally:
        left = server.close()
        shutil.rmtree(short)
        assert left == []


def owner(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def is_running(pid: int) -> bool:
    """Whether it runs; a zombie that its parent (after a restart: process 1) has not reaped does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_an_ordinary_user_launches_and_logs_in(user_server: Server, tmp_path: Path) -> None:
    server = user_server.start()
    assert server.process is not None
    assert owner(server.process.pid) == UID
    key, public = make_key(tmp_path)
    ec2 = server.client("ec2")
    ec2.import_key_pair(KeyName="k", PublicKeyMaterial=public.encode())
    image = amiable(
        server, "image", "import", str(tiny_guest().hvm), "--name", "tiny", "--output", "id"
    ).stdout.split()[-1]
    run = ec2.run_instances(ImageId=image, InstanceType="amiable.tiny", MinCount=1, MaxCount=1, KeyName="k")
    instance_id = run["Instances"][0]["InstanceId"]
    wait_for_state(server, instance_id, "running")
    assert facts(server, instance_id, key)["instance-id"] == instance_id

    machines = subprocess.run(["pgrep", "-u", str(UID), "-f", instance_id], capture_output=True, text=True, check=True)
    (qemu,) = (int(pid) for pid in machines.stdout.split())
    ours = Path("/proc/self/ns/net").readlink()
    assert Path(f"/proc/{qemu}/ns/net").readlink() != ours
    assert "CapEff:\t0000000000000000" in Path(f"/proc/{qemu}/status").read_text()

    holder = json.loads((server.data / "instances" / instance_id / "holder.json").read_text())["pid"]
    os.kill(holder, signal.SIGKILL)
    assert facts(server, instance_id, key)["instance-id"] == instance_id
    again = json.loads((server.data / "instances" / instance_id / "holder.json").read_text())["pid"]
    assert again != holder and owner(again) == UID
    assert Path(f"/proc/{again}/ns/net").readlink() == Path(f"/proc/{qemu}/ns/net").readlink()

    server.stop()
    os.kill(again, signal.SIGKILL)
    server.start()
    assert facts(server, instance_id, key)["instance-id"] == instance_id
    ec2 = server.client("ec2")
    ec2.terminate_instances(InstanceIds=[instance_id])
    wait_for_state(server, instance_id, "terminated")
    assert not is_running(qemu)
