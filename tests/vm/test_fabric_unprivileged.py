"""The fabric of an ordinary user, where /dev/net/tun may be opened by everybody: the same, inside a user namespace."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ordinary_user import CHECKOUT, SETPRIV, UID, interpreter

WAIT_SECONDS_MAX = 120
OPEN_TUN = """
mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec "$@"
"""
SCRIPT = """
import json, os, subprocess, sys
from pathlib import Path
from amiable.vm import fabric, process
from amiable.vm.network_kind import prove
from tests.support.fabrics import OUT, VPC, WAIT_SECONDS_MAX, Net, interface

def holder_of(tap):
    script = "import os,sys; os.dup2(int(sys.argv[1]), 5); print(flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    started = subprocess.Popen([sys.executable, "-S", "-c", script, str(tap)], stdin=pipe, stdout=pipe, pass_fds=[tap])
    started.stdout.readline()
    return started

found = prove()
told = {"uid": os.getuid(), "kind": found.kind, "words": found.words}
if found.kind != "routed":
    print(json.dumps(told))
    sys.exit()
net = Net(Path(sys.argv[1]))
guest = net.guest(interface(4))
net.enforce([interface(4)], OUT)
told["asked"] = guest.ask_dhcp(1) is not None
first = net.process()
told["agent uid"] = Path(f"/proc/{first.pid}").stat().st_uid
told["ended"] = first.end(wait_seconds=WAIT_SECONDS_MAX)
qemu = holder_of(guest.tap)
second = fabric.revive_agent(net.data, VPC, [process.identity_of(qemu.pid)])
with net.agent() as agent:
    agent.keep(guest.link, None)
    agent.metadata_listener(guest.link.tap).close()
    told["state"] = agent.state()
told["asked again"] = guest.ask_dhcp(1) is not None
qemu.communicate()
net.close()
told["left"] = sorted(path.name for path in (net.data / "networks" / VPC).iterdir())
print(json.dumps(told))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's folder, which is closed to others."""
    made = Path(tempfile.mkdtemp(prefix="amiable-user-"))
    if os.geteuid() == 0:
        os.chown(made, UID, UID)
    yield made
    shutil.rmtree(made)


def test_an_ordinary_users_agent_serves_is_revived_and_ends(folder: Path) -> None:
    python, environment = interpreter()
    path = ":".join(filter(None, [str(CHECKOUT), environment.get("PYTHONPATH", str(CHECKOUT / "src"))]))
    command = [python, "-c", SCRIPT, str(folder)]
    if os.geteuid() == 0:
        command = ["unshare", "--mount", "sh", "-c", OPEN_TUN, "sh", *SETPRIV, *command]
    done = subprocess.run(
        command,
        env={**os.environ, **environment, "PYTHONPATH": path, "HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    if os.geteuid() != 0 and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        assert told["kind"] == "namespace" and "no tap can be made with /dev/net/tun: " in told["words"]
        return
    wanted = UID if os.geteuid() == 0 else os.geteuid()
    assert (told["uid"], told["agent uid"], told["kind"]) == (wanted, wanted, "routed")
    assert told["asked"] and told["ended"] and told["asked again"] and told["left"] == ["log"]
    assert told["state"]["taps"] == ["t00000000000004"] and told["state"]["host"] is False
