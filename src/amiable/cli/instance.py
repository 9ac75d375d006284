"""``amiable instance``: what runs, its console, its shell, its end."""

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from textwrap import shorten
from time import monotonic
from typing import Annotated, Any, Final

import cyclopts
from cyclopts import Parameter

from amiable.cli.chosen import Yes, each_once, end_unless_meant
from amiable.cli.client import call, client, rehearse, until_ctrl_c, wait_for
from amiable.cli.output import Output, say, show_one, show_rows
from amiable.cli.whole import whole
from amiable.model import ids
from amiable.model.errors import LocalRefusal
from amiable.rules.identifiers import check_form

app = cyclopts.App(
    name="instance", help="Instances: list, show, console, timeline, ssh, stop, start, reboot, terminate."
)

STATE_SECONDS_MAX = 180.0
REASON_WIDTH: Final = 80
FIRST_FIELDS: Final = (
    "InstanceId", "Name", "State", "Reason", "ImageId", "InstanceType", "PrivateIpAddress", "KeyName", "LaunchTime",
)  # fmt: skip
SSH_PORT = 22


def is_instance_id(_type: object, identifier: str) -> None:
    """Refuses what is no instance id before it comes into a path: a command's words, say, where the id was forgotten."""
    check_form("instance", ids.INSTANCE, [identifier])


def is_a_time(_type: object, seconds: float) -> None:
    """Refuses a wait that is no number or has no end."""
    if not 0 <= seconds < float("inf"):
        raise ValueError("Give seconds, 0 or more.")


InstanceId = Annotated[str, Parameter(help="Instance id (i-…).", validator=is_instance_id)]
Wait = Annotated[bool, Parameter(help="Wait until it is done.", negative=())]


@app.command(name="list")
def list_(
    *,
    output: Output = "table",
    all_: Annotated[bool, Parameter(name="--all", help="Terminated ones too.", negative=())] = False,
) -> None:
    """Lists instances."""
    pages = client("ec2").get_paginator("describe_instances").paginate()
    found = [i for page in pages for reservation in page["Reservations"] for i in reservation["Instances"]]
    rows = [flat(instance) for instance in found if all_ or instance["State"]["Name"] != "terminated"]
    if output == "table":
        rows = [
            row | {"Reason": row["Reason"] and shorten(row["Reason"], REASON_WIDTH, placeholder=" …")} for row in rows
        ]
    columns = {
        "instance": "InstanceId",
        "name": "Name",
        "state": "State",
        "image": "ImageId",
        "type": "InstanceType",
        "address": "PrivateIpAddress",
    }
    columns |= {"launched": "LaunchTime", "reason": "Reason"}
    show_rows(sorted(rows, key=lambda row: row["LaunchTime"]), columns, output, identifier="InstanceId")


@app.command
def show(instance: InstanceId, /, *, output: Output = "table") -> None:
    """Shows one instance, with why it is in its state."""
    ec2 = client("ec2")
    row = flat(describe(ec2, instance))
    statuses = ec2.describe_instance_status(InstanceIds=[instance], IncludeAllInstances=True)["InstanceStatuses"]
    for status in statuses:
        row["InstanceStatus"] = status["InstanceStatus"]["Status"]
        row["SystemStatus"] = status["SystemStatus"]["Status"]
    hardware = call("GET", f"/instances/{instance}/hardware")
    row |= {"HardwareProfile": hardware["Profile"], "HardwareProfileWhy": hardware["Why"]}
    show_one(row, output, identifier="InstanceId")


@app.command
def console(
    instance: InstanceId,
    /,
    *,
    follow: Annotated[bool, Parameter(help="Go on printing until it is terminated.", negative=())] = False,
    raw: Annotated[
        bool, Parameter(help="On a terminal too, as the guest wrote it, escape sequences and all.", negative=())
    ] = False,
    interactive: Annotated[
        bool, Parameter(name=["--interactive", "-i"], help="Type there too; Ctrl-] ends it.", negative=())
    ] = False,
    all_: Annotated[bool, Parameter(name="--all", help="All that is kept, not the end alone.", negative=())] = False,
    boot: Annotated[
        int | None, Parameter(converter=whole, help="All that is kept of an earlier start's, by its number.")
    ] = None,
) -> None:
    """Prints the serial console's text; on a terminal without what would steer it."""
    from amiable.cli.console import print_console, print_kept

    if interactive:
        from amiable.cli.serial_console import attach

        with until_ctrl_c():  # where keys come from no terminal
            return attach(instance)
    if boot is not None or all_:
        return print_kept(instance, boot, raw=raw or not sys.stdout.isatty())
    with until_ctrl_c() if follow else nullcontext():
        print_console(client("ec2"), instance, follow=follow, raw=raw or not sys.stdout.isatty())


@app.command
def screenshot(
    instance: InstanceId,
    file: Annotated[Path, Parameter(help="JPEG to write; - is standard output.")],
    /,
    *,
    wake_up: Annotated[bool, Parameter(help="Press a key before.", negative=())] = False,
) -> None:
    """Writes the screen as it is now."""
    from amiable.cli.console import write_screenshot

    write_screenshot(client("ec2"), instance, file, wake_up=wake_up)


@app.command
def timeline(instance: InstanceId, /, *, output: Output = "table") -> None:
    """Shows when each boot reached which stage, in seconds since QEMU's start or the guest's reset."""
    from amiable.cli.timeline import show_timeline

    show_timeline(call("GET", f"/instances/{instance}/boots")["Boots"], output)


@app.command
def ssh(
    instance: InstanceId,
    /,
    *command: Annotated[str, Parameter(help="Command to run there.", allow_leading_hyphen=True)],
    login: Annotated[str, Parameter(name=["--login", "-l"], help="User to log in as.")] = "root",
    identity: Annotated[Path | None, Parameter(name=["--identity", "-i"], help="Private key file.")] = None,
    wait: Annotated[
        float, Parameter(validator=is_a_time, help="Seconds to wait for the guest's host keys and SSH daemon.")
    ] = 0,
) -> None:
    """Logs in through a tunnel of the signed API; the host key is compared with what the guest printed on its console."""
    if shutil.which("ssh") is None:
        raise LocalRefusal("ssh is not installed", hint="apt-get install openssh-client", exit_code=69)
    refuse_without_power(call("GET", f"/instances/{instance}/hardware")["State"], instance)
    if identity is not None and not identity.is_file():
        raise LocalRefusal(f"there is no key file {identity}", hint="-i names the private key", exit_code=74)
    until = monotonic() + wait
    wait_for_daemon(instance, wait)
    known = host_keys(instance, max(until - monotonic(), 0))
    me = [sys.executable, "-m", "amiable.cli.main"]
    options = {"ProxyCommand": " ".join([*me, "instance", "tunnel", instance, "%p"]), "UserKnownHostsFile": "/dev/null"}
    if known:
        check = " ".join([*me, "instance", "host-key", instance, "%H", "%t", "%K", "%f"])
        options |= {"StrictHostKeyChecking": "yes", "KnownHostsCommand": check}
    else:
        say("warning: the guest printed no host key fingerprints on its console: its host key is not checked")
        options |= {"StrictHostKeyChecking": "no"}
    if identity is not None:
        options |= {"IdentitiesOnly": "yes"}
    argv = [
        "ssh",
        *(part for name, value in options.items() for part in ("-o", f"{name}={value}")),
        "-o",
        "LogLevel=ERROR",
    ]
    argv += ["-i", str(identity)] if identity is not None else []
    os.execvp("ssh", [*argv, f"{login}@{instance}", *command])


def refuse_without_power(state: str, instance: str) -> None:
    """Refuses what needs a guest that runs, or is about to, where ssh would only tell of a closed connection."""
    if state not in ("pending", "running"):
        hint = f"amiable instance start {instance} --wait" if state == "stopped" else ""
        raise LocalRefusal(f"{instance} is {state}", hint=hint)


def wait_for_daemon(instance: str, seconds: float) -> None:
    """Returns when the guest's SSH daemon says its first word; refuses with why it does not after ``seconds``.

    Known host keys do not prove that it listens: after a stop and start they are those of the boot before.
    """
    from amiable.cli.tunnel import dial

    why = "what answers on port 22 is none"

    def look() -> bool | None:
        nonlocal why
        try:
            with dial(instance, SSH_PORT) as tunnel:
                return True if tunnel.receive().startswith(b"SSH-") else None
        except LocalRefusal as refusal:
            if refusal.exit_code == 75:  # not yet
                why = refusal.message
                return None
            raise
        except OSError:
            return None

    try:
        wait_for(f"the SSH daemon of {instance}", look, seconds)
    except LocalRefusal as refusal:
        if refusal.exit_code != 124:
            raise
        hint = (
            f"it may still be starting: --wait 120 waits for it, amiable instance console {instance} --follow shows it"
        )
        code = 124 if seconds else 75
        raise LocalRefusal(f"no SSH daemon answers in {instance}: {why}", hint=hint, exit_code=code) from None


def host_keys(instance: str, seconds: float) -> list[str]:
    """Fingerprints that the guest printed, after waiting up to ``seconds`` for the first."""

    def look() -> list[str] | None:
        found: list[str] = call("GET", f"/instances/{instance}/ssh-host-keys")["Fingerprints"]
        return found or None

    try:
        return wait_for("host keys on the console", look, seconds)
    except LocalRefusal as refusal:
        if refusal.exit_code == 124:
            return []
        raise


@app.command(name="host-key", show=False)
def host_key(instance: str, host: str, key_type: str, key: str, fingerprint: str, /) -> None:
    """ssh's KnownHostsCommand: prints the known_hosts line when the guest printed this fingerprint on its console."""
    if fingerprint in host_keys(instance, 0):
        print(f"{host} {key_type} {key}")


@app.command(show=False)
def tunnel(instance: str, port: Annotated[int, Parameter(converter=whole)], /) -> None:
    """ssh's ProxyCommand: standard input and output to a port of the instance."""
    from amiable.cli.tunnel import pump_stdio

    with until_ctrl_c():
        pump_stdio(instance, port)


@app.command
def stop(
    *instance: InstanceId,
    force: Annotated[bool, Parameter(help="Cut the power.", negative=())] = False,
    wait: Wait = False,
) -> None:
    """Presses the power button of instances, of all or of none; root volumes stay."""
    wanted, ec2 = each_once(instance, "instance"), client("ec2")
    changes = ec2.stop_instances(InstanceIds=wanted, Force=force)["StoppingInstances"]
    finish(ec2, changes, "stopped" if wait else None)


@app.command
def start(*instance: InstanceId, wait: Wait = False) -> None:
    """Starts stopped instances, all or none."""
    wanted, ec2 = each_once(instance, "instance"), client("ec2")
    changes = ec2.start_instances(InstanceIds=wanted)["StartingInstances"]
    finish(ec2, changes, "running" if wait else None)


@app.command
def reboot(*instance: InstanceId) -> None:
    """Reboots running instances, all or none: addresses, volumes and local disks stay."""
    wanted = each_once(instance, "instance")
    client("ec2").reboot_instances(InstanceIds=wanted)
    for each in wanted:
        say(f"{each} is rebooting")
    say(f"\nnext: amiable instance timeline {wanted[0]}")


@app.command
def terminate(*instance: InstanceId, yes: Yes = False, wait: Wait = False) -> None:
    """Ends instances for good, all or none; volumes marked delete-on-termination go with them."""
    wanted, ec2 = each_once(instance, "instance"), client("ec2")
    if not yes or len(wanted) > 1:  # the call itself ends those of other zones than a protected one's
        rehearse(ec2.terminate_instances, InstanceIds=wanted)
    end_unless_meant(yes, [f"terminate {told(each)}" for each in ([] if yes else describe_all(ec2, wanted))])
    changes = ec2.terminate_instances(InstanceIds=wanted)["TerminatingInstances"]
    finish(ec2, changes, "terminated" if wait else None)


def told(instance: dict[str, Any]) -> str:
    """The instance as a person knows it again: id, state, image."""
    row = flat(instance)
    return f"{row['InstanceId']} ({row['State']}, {row['ImageId']})"


def finish(ec2: Any, changes: list[dict[str, Any]], state: str | None) -> None:
    """Prints each change; waits for ``state`` where one is asked for."""
    for change in changes:
        instance = change["InstanceId"]
        if state is not None:
            hint = f"does its guest not listen?  amiable instance stop {instance} --force" if state == "stopped" else ""
            wait_for(f"{instance} to be {state}", reached(ec2, instance, state), STATE_SECONDS_MAX, hint=hint)
        print(f"{instance}  {change['PreviousState']['Name']} -> {state or change['CurrentState']['Name']}")


def reached(ec2: Any, instance: str, state: str) -> Callable[[], bool | None]:
    """Asks whether ``instance`` has come to ``state``."""
    return lambda: True if describe(ec2, instance)["State"]["Name"] == state else None


def describe(ec2: Any, instance: str) -> dict[str, Any]:
    """One instance as the API tells it."""
    return describe_all(ec2, [instance])[0]


def describe_all(ec2: Any, wanted: list[str]) -> list[dict[str, Any]]:
    """The instances as the API tells them, in the order of their ids."""
    reservations = ec2.describe_instances(InstanceIds=wanted)["Reservations"]
    found = {each["InstanceId"]: each for reservation in reservations for each in reservation["Instances"]}
    return [found[instance] for instance in wanted]


def flat(instance: dict[str, Any]) -> dict[str, Any]:
    """The instance with its state, reason and name as plain text, what a person looks for first."""
    names = [tag["Value"] for tag in instance.get("Tags", []) if tag["Key"] == "Name"]
    plain = {
        "State": instance["State"]["Name"],
        "Reason": instance.get("StateReason", {}).get("Message"),
        "Name": names[0] if names else None,
    }
    first: dict[str, Any] = {
        key: plain.get(key, instance.get(key)) for key in FIRST_FIELDS if key in plain or key in instance
    }
    return {**first, **instance, **plain}
