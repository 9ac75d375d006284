"""``instance console``: the end of a growing text, of which the server gives the last 64 KiB, printed without repeats."""

import base64
import sys
import time
from pathlib import Path
from typing import Any, Final

from amiable.cli.output import say
from amiable.cli.terminal_text import PlainStream

MARK_BYTES: Final = 4096
FOLLOW_PAUSE_SECONDS: Final = 1.0


def unseen(shown: bytes, text: bytes) -> bytes:
    """What of ``text`` comes after ``shown``; both are ends of one text that grows, and ``text`` is the later one.

    The place is where the last :data:`MARK_BYTES` that were shown stand in ``text``, rather one where all before it was shown
    too.  All of ``text`` when they stand nowhere: more was written between two looks than the server keeps.
    """
    if text.startswith(shown):
        return text[len(shown) :]
    mark = shown[-MARK_BYTES:]
    last = place = text.rfind(mark)
    while place >= 0:
        end = place + len(mark)
        if shown.endswith(text[:end]):
            return text[end:]
        place = text.rfind(mark, 0, end - 1)
    return text[last + len(mark) :] if last >= 0 else text


def read_console(ec2: Any, instance: str) -> bytes:
    """The console's bytes as the guest wrote them: boto3's own decoding would replace what is no UTF-8."""
    from botocore.handlers import decode_console_output

    ec2.meta.events.unregister("after-call.ec2.GetConsoleOutput", decode_console_output)
    return base64.b64decode(ec2.get_console_output(InstanceId=instance, Latest=True).get("Output", ""))


def print_console(ec2: Any, instance: str, *, follow: bool, raw: bool) -> None:
    """Prints the console; with ``follow`` until the instance is terminated.  ``raw``: the guest's bytes, whatever they do."""
    plain = None if raw else PlainStream()
    shown, is_first = b"", True
    while True:
        state = state_of(ec2, instance) if follow else ""
        # What was never there has not ended: the first look is refused as without --follow.
        text = read_console(ec2, instance) if state is not None or is_first else b""
        is_first = False
        write(unseen(shown, text), plain)
        if state in ("", "terminated", None):
            break
        shown = text
        time.sleep(FOLLOW_PAUSE_SECONDS)
    if plain is not None:
        sys.stdout.write(plain.end())
    sys.stdout.flush()
    if follow:
        say(f"{instance} is terminated")


def print_kept(instance: str, boot: int | None, *, raw: bool) -> None:
    """Prints all that is kept of one machine's console: the boot-th, or the last one."""
    from amiable.cli.client import call

    found = call("GET", f"/instances/{instance}/console-log" + (f"?boot={boot}" if boot is not None else ""))
    plain = None if raw else PlainStream()
    write(base64.b64decode(found["Output"]), plain)
    if plain is not None:
        sys.stdout.write(plain.end())
    sys.stdout.flush()
    others = [str(each) for each in found["Boots"] if each != found["Boot"]]
    if others:
        say(f"logs of other machines are there: --boot {' or '.join(others)}")


def write_screenshot(ec2: Any, instance: str, file: Path, *, wake_up: bool) -> None:
    """Writes the screen as a JPEG, whole or not at all; ``-`` is standard output."""
    from amiable.bundle.new_file import new_file

    answer = ec2.get_console_screenshot(InstanceId=instance, WakeUp=wake_up)
    picture = base64.b64decode(answer["ImageData"])
    if str(file) == "-":
        sys.stdout.buffer.write(picture)
        sys.stdout.flush()
        return
    with new_file(file) as target:
        target.write(picture)
    print(file)


def write(data: bytes, plain: PlainStream | None) -> None:
    """``data`` on standard output, at once."""
    if plain is None:
        sys.stdout.buffer.write(data)
    else:
        sys.stdout.write(plain.feed(data))
    sys.stdout.flush()


def state_of(ec2: Any, instance: str) -> str | None:
    """The instance's state; None when there is no such instance any more."""
    from botocore.exceptions import ClientError

    try:
        found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
            raise
        return None
    return str(found["State"]["Name"])
