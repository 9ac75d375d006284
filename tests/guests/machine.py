"""A guest under plain QEMU, without Amiable: what the guest can do by itself is tested before what Amiable does with it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAIT_SECONDS_MAX = 180
IMDS = Path(__file__).parent / "imds_once.py"


@dataclass
class Machine:
    """A running QEMU; files lie in ``folder``: console.log, qmp.sock, facts.json, key."""

    folder: Path
    process: "subprocess.Popen[bytes]"

    def console(self) -> str:
        return (self.folder / "console.log").read_text(errors="replace")

    def wait_for(self, text: str, *, count: int = 1) -> None:
        """Waits until the console has said ``text`` for the ``count``-th time."""
        self.wait(lambda: self.console().count(text) >= count, f"{text!r} on the console")

    def wait(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not done():
            assert time.monotonic() < deadline, f"no {what}; the console ends so:\n{self.console()[-3000:]}"
            assert self.process.poll() is None, f"QEMU ended before {what}:\n{self.console()[-3000:]}"
            time.sleep(0.2)

    def ssh(self, command: str) -> str:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes", "LogLevel=ERROR"]
        done = subprocess.run(
            ["ssh", "-i", str(self.folder / "key"), "-p", self.port(), *(f"-o{option}" for option in options)]
            + ["root@127.0.0.1", command],
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def press_power_button(self) -> None:
        self.tell("system_powerdown")

    def port(self) -> str:
        """The one on 127.0.0.1 that leads to the guest's port 22."""
        told: str = self.tell("human-monitor-command", **{"command-line": "info usernet"})
        return next(line.split()[3] for line in told.splitlines() if line.split()[:1] == ["TCP[HOST_FORWARD]"])

    def tell(self, command: str, **arguments: str) -> Any:
        """What QEMU's monitor answers."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(WAIT_SECONDS_MAX)
            monitor.connect(str(self.folder / "qmp.sock"))
            stream = monitor.makefile("rw")
            answer: dict[str, Any] = {}
            for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                while "return" not in (answer := json.loads(stream.readline())):
                    assert "error" not in answer, answer
            return answer["return"]

    def wait_until_ended(self) -> int:
        return self.process.wait(WAIT_SECONDS_MAX)


@contextmanager
def machine(folder: Path, *arguments: str, user_data: str = "") -> Iterator[Machine]:
    """Starts QEMU with a network card, a metadata service of its own and ``arguments`` for disk and kernel."""
    key = folder / "key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    facts = {
        "meta-data/instance-id": "i-0123456789abcdef0",
        "meta-data/ami-id": "ami-0123456789abcdef0",
        "meta-data/kernel-id": "aki-01234567",
        "meta-data/public-keys/0/openssh-key": (folder / "key.pub").read_text().strip(),
        "user-data": user_data,
    }
    (folder / "facts.json").write_text(json.dumps(facts))
    network = (
        "user,id=n,net=169.254.0.0/16,dhcpstart=169.254.10.15,restrict=on,hostfwd=tcp:127.0.0.1:0-:22,"
        f"guestfwd=tcp:169.254.169.254:80-cmd:{sys.executable} -S {IMDS} facts.json"
    )
    command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-m", "256", "-nodefaults", "-no-user-config"]
    command += ["-display", "none", "-serial", "file:console.log", "-qmp", "unix:qmp.sock,server=on,wait=off"]
    command += ["-netdev", network, "-device", "virtio-net-pci,netdev=n,romfile=", *arguments]
    (folder / "console.log").write_text("")
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield Machine(folder, process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(WAIT_SECONDS_MAX)


def drive(image: Path, device: str) -> list[str]:
    """QEMU's arguments for a raw disk on ``device`` (virtio-blk-pci, nvme)."""
    serial = ",serial=vol0123456789abcdef0" if device == "nvme" else ""
    return ["-drive", f"file={image},format=raw,if=none,id=root", "-device", f"{device},drive=root{serial},bootindex=1"]
