"""A real guest seen from outside: its screen, its console live and afterwards, its boots in time, the password it prints."""

import base64
import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.server import Server, shell_environment

SECRET = "Tr0ub4dor&3"
SHELL = """#!/bin/sh
cat <<'END'
<Username>Administrator</Username>
<Password>
{password}
</Password>
END
for line in 1 2 3 4 5 6; do echo 'On the screen, and nowhere else.'; done >/dev/tty0
setsid sh -c 'while :; do sh -i; done' </dev/ttyS0 >/dev/ttyS0 2>&1 &
"""


class Terminal:
    """``amiable instance console --interactive`` on a pseudo-terminal: what a person has before them."""

    def __init__(self, server: Server, instance_id: str) -> None:
        self.master, slave = pty.openpty()
        command = [sys.executable, "-m", "amiable.cli.main", "instance", "console", instance_id, "--interactive"]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=shell_environment(server), start_new_session=True
        )
        os.close(slave)
        self.seen = b""

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def wait_for(self, text: bytes, seconds_max: float = 60) -> None:
        until = time.monotonic() + seconds_max
        while text not in self.seen:
            left = until - time.monotonic()
            assert left > 0, f"waited for {text!r}; seen: {self.seen[-2000:]!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    raise AssertionError(f"ended before {text!r}; seen: {self.seen[-2000:]!r}") from None

    def close(self) -> int:
        self.process.kill() if self.process.poll() is None else None
        os.close(self.master)
        return self.process.wait(30)


def make_rsa_key(ec2: Any, folder: Path) -> Path:
    key = folder / "key.pem"
    key.write_text(ec2.create_key_pair(KeyName="windows", KeyType="rsa")["KeyMaterial"])
    key.chmod(0o600)
    return key


def openssl(*words: str, data: bytes) -> bytes:
    return subprocess.run(["openssl", *words], input=data, capture_output=True, check=True, timeout=60).stdout


@pytest.mark.boot
@pytest.mark.proves("ec2", "GetConsoleOutput", "GetConsoleScreenshot", "GetPasswordData", "SendDiagnosticInterrupt")
def test_a_guest_is_seen_from_outside(server: Server, tmp_path: Path) -> None:
    ec2 = server.client("ec2")
    key = make_rsa_key(ec2, tmp_path)
    openssl("pkey", "-in", str(key), "-pubout", "-out", str(tmp_path / "public.pem"), data=b"")
    encrypting = ["pkeyutl", "-encrypt", "-pubin", "-inkey", str(tmp_path / "public.pem")]
    password = base64.b64encode(openssl(*encrypting, data=SECRET.encode())).decode()

    image = journey.amiable(server, "image", "import", str(tiny_guest().hvm), "--name", "seen").stdout.strip()
    launch = {"ImageId": image, "InstanceType": "amiable.tiny", "KeyName": "windows", "MinCount": 1, "MaxCount": 1}
    instance = ec2.run_instances(**launch, UserData=SHELL.format(password=password))["Instances"][0]["InstanceId"]
    assert ec2.get_password_data(InstanceId=instance)["PasswordData"] == ""
    journey.wait_for_console(server, instance, "amiable-tiny: ready")

    read_the_password(ec2, instance, key)
    look_at_the_screen(server, ec2, instance, tmp_path)
    talk_on_the_console(server, ec2, instance)
    follow_the_boots(server, ec2, instance)
    interrupt(ec2, instance)
    keep_what_it_said(server, ec2, instance)


def read_the_password(ec2: Any, instance: str, key: Path) -> None:
    found = journey.wait_until(
        "the password", lambda: ec2.get_password_data(InstanceId=instance)["PasswordData"] or None
    )
    assert openssl("pkeyutl", "-decrypt", "-inkey", str(key), data=base64.b64decode(found)) == SECRET.encode()


def look_at_the_screen(server: Server, ec2: Any, instance: str, folder: Path) -> None:
    from PIL import Image

    def is_bright() -> bool | None:
        shot = base64.b64decode(ec2.get_console_screenshot(InstanceId=instance, WakeUp=True)["ImageData"])
        assert shot.startswith(b"\xff\xd8\xff")
        with Image.open(io.BytesIO(shot)) as picture:
            assert picture.format == "JPEG" and picture.width >= 640 and picture.height >= 400
            colours = picture.convert("L").getcolors(256) or []
        return sum(count for count, grey in colours if isinstance(grey, int) and grey > 100) > 1000 or None

    journey.wait_until("what the guest writes to its screen to be seen", is_bright)
    file = folder / "screen.jpg"
    assert journey.amiable(server, "instance", "screenshot", instance, str(file)).stdout.strip() == str(file)
    assert file.read_bytes().startswith(b"\xff\xd8\xff")


def talk_on_the_console(server: Server, ec2: Any, instance: str) -> None:
    refused = journey.amiable(server, "instance", "console", instance, "--interactive", check=False)
    assert refused.returncode != 0 and "EnableSerialConsoleAccess" in refused.stderr
    ec2.enable_serial_console_access()
    deaf = Terminal(server, instance)  # nobody reads it again: it must hold up neither guest nor others
    first, second = Terminal(server, instance), Terminal(server, instance)
    try:
        for each in (deaf, first, second):
            each.wait_for(b"Ctrl-] ends this")
        first.type(b"echo one $((40+2))\r")
        for each in (first, second):
            each.wait_for(b"one 42")
        second.type(
            b"i=0; while [ $i -lt 9000 ]; do echo $i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done; echo t$((1+1))o\r"
        )
        for each in (first, second):
            each.wait_for(b"t2o", 120)
        first.type(b"\x1d")
        assert first.process.wait(60) == 0
        ec2.disable_serial_console_access()
        assert second.process.wait(60) == 0
    finally:
        for each in (deaf, first, second):
            each.close()


def follow_the_boots(server: Server, ec2: Any, instance: str) -> None:
    def told() -> dict[str, Any] | None:
        (boot,) = json.loads(journey.amiable(server, "instance", "timeline", instance, "--output", "json").stdout)
        return boot if "ssh" in [mark["Stage"] for mark in boot["Marks"]] else None

    boot = journey.wait_until("SSH to be seen", told)
    seconds = {mark["Stage"]: mark["Seconds"] for mark in boot["Marks"]}
    assert {"firmware", "boot-loader", "metadata", "host-keys", "ssh"} <= set(seconds)
    assert (
        0
        < seconds["firmware"]
        <= seconds["boot-loader"]
        < seconds["metadata"]
        <= seconds["host-keys"]
        < journey.BOOT_SECONDS_MAX
    )
    assert boot["Cause"] is None and boot["BeganBy"] == "start"
    table = journey.amiable(server, "instance", "timeline", instance).stdout
    assert "metadata" in table and table.splitlines()[0].split()[:4] == ["BOOT", "BEGAN", "STAGE", "SECONDS"]
    ec2.reboot_instances(InstanceIds=[instance])

    def began_anew() -> bool | None:
        boots = json.loads(journey.amiable(server, "instance", "timeline", instance, "--output", "json").stdout)
        stages = {mark["Stage"] for mark in boots[-1]["Marks"]}
        return True if len(boots) == 2 and boots[-1]["BeganBy"] == "reset" and "host-keys" in stages else None

    journey.wait_until("the second boot", began_anew)


def interrupt(ec2: Any, instance: str) -> None:
    ec2.send_diagnostic_interrupt(InstanceId=instance)

    def is_heard() -> bool | None:
        text = ec2.get_console_output(InstanceId=instance, Latest=True)["Output"]
        return True if "NMI" in text else None

    journey.wait_until("the kernel to say NMI", is_heard)


def keep_what_it_said(server: Server, ec2: Any, instance: str) -> None:
    posted = journey.wait_until("a post", lambda: ec2.get_console_output(InstanceId=instance).get("Output") or None)
    assert "GRUB" in posted
    ec2.stop_instances(InstanceIds=[instance], Force=True)
    journey.wait_for_state(server, instance, "stopped")
    assert "NMI" in ec2.get_console_output(InstanceId=instance)["Output"]
    ec2.terminate_instances(InstanceIds=[instance])
    journey.wait_for_state(server, instance, "terminated")
    plain, latest = (ec2.get_console_output(InstanceId=instance, Latest=each)["Output"] for each in (False, True))
    assert plain == latest and "NMI" in plain
    whole = journey.amiable(server, "instance", "console", instance, "--all").stdout
    assert "GRUB" in whole and len(whole) > 400_000


@pytest.mark.boot
def test_a_kernel_without_the_disks_driver_is_told_with_the_modules_name(server: Server) -> None:
    words = ("--kernel", str(tiny_guest().kernel), "--name", "driverless", "--output", "id")
    kernel = journey.amiable(server, "kernel", "add", *words).stdout.strip()
    how = ("--name", "without its driver", "--virtualization", "paravirtual", "--kernel", kernel)
    image = journey.amiable(server, "image", "import", str(tiny_guest().pv), *how).stdout.strip()
    ec2 = server.client("ec2")
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "amiable:hardware-profile", "Value": "direct"}]}]
    launch = {"ImageId": image, "InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1, "TagSpecifications": tags}
    instance = ec2.run_instances(**launch)["Instances"][0]["InstanceId"]

    def reason() -> str | None:
        found: dict[str, str] = journey.describe(ec2, instance).get("StateReason", {})
        return found["Message"] if found.get("Code") == "Client.InstanceBootFailure" else None

    told = journey.wait_until("the reason", reason)
    assert "Neither the kernel nor its initial ramdisk has the driver of the machine's disks: virtio_blk." in told
    assert "Unable to mount root fs" in ec2.get_console_output(InstanceId=instance, Latest=True)["Output"]

    def again() -> bool | None:  # it panics and resets itself after 5 s
        boots = json.loads(journey.amiable(server, "instance", "timeline", instance, "--output", "json").stdout)
        return (
            True if [boot["Cause"] and boot["Cause"]["Fault"] for boot in boots][:2] == ["no-disk-driver"] * 2 else None
        )

    journey.wait_until("the second try", again)
    assert "virtio_blk" in str(reason()), "the reason stays while it tries again"
    with pytest.raises(ClientError, match="paravirtual: it has no screen"):
        ec2.get_console_screenshot(InstanceId=instance)
    journey.terminate(server, instance)
