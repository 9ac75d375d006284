"""What the demo has made, what its guests told, whether it is what was asked for, and the words at the end."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from scripts import demo_stage as stage
from scripts.demo_stage import WORK, DemoFailure, Phases, run, say

KEY_FILE = WORK / "demo.pem"
LOGIN_PAUSE_SECONDS = 3

DEBIAN_FACTS = """\
cloud-init status --wait >/dev/null
echo cloud-init=$(cloud-init status | sed -n 's/^status: //p')
echo cloud-id=$(cloud-id)
echo datasource=$(cloud-init query platform)
echo instance-id=$(cloud-init query instance_id)
echo nonce=$(cat /var/lib/amiable/nonce)
root=$(findmnt -n -o SOURCE /)
disk=$(lsblk -n -d -o PKNAME "$root")
echo root-device=$root
echo root-size-bytes=$(lsblk -b -n -d -o SIZE "/dev/$disk")
echo grown=$([ $(df --output=size -B1 / | tail -n 1) -gt 3000000000 ] && echo yes || echo no)
echo kernel=$(uname -r)
echo boot-id=$(cat /proc/sys/kernel/random/boot_id)
"""

Environment = dict[str, str]


class Check(NamedTuple):
    """One fact: what was asked for, what the guest told."""

    guest: str
    fact: str
    expected: str
    told: str
    holds: bool


@dataclass(frozen=True)
class Guest:
    """One launched instance and how to enter it."""

    name: str
    instance_id: str
    nonce: str
    login: str
    seconds_max: int


@dataclass
class Story:
    """What the demo has made so far."""

    administrator: Environment = field(default_factory=dict)
    user: Environment = field(default_factory=dict)
    user_account: str = ""
    phases: Phases = field(default_factory=Phases)
    made: list[tuple[str, str, str]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    guests: list[Guest] = field(default_factory=list)

    def note(self, kind: str, identifier: str, words: str) -> str:
        self.made.append((kind, identifier, words))
        return identifier


def ask_tiny(story: Story, guest: Guest) -> dict[str, str]:
    """What the tiny guest tells of itself, over SSH."""
    return facts_of(log_in(story, guest, "amiable-facts"))


def ask_debian(story: Story, guest: Guest) -> dict[str, str]:
    """What Debian tells of itself, over SSH, once cloud-init has finished."""
    return facts_of(log_in(story, guest, DEBIAN_FACTS))


def log_in(story: Story, guest: Guest, command: str) -> str:
    """What ``command`` says in the guest; tries again while the guest is still starting."""
    words = ["amiable", "instance", "ssh", guest.instance_id, "-i", str(KEY_FILE), "-l", guest.login]
    deadline = time.monotonic() + guest.seconds_max
    while True:
        try:
            return run(
                *words, "--wait", str(guest.seconds_max), command, environment=story.user, seconds_max=guest.seconds_max
            )
        except DemoFailure as failure:
            if time.monotonic() > deadline:
                console = run("amiable", "instance", "console", guest.instance_id, environment=story.user, show=False)
                raise DemoFailure(f"{failure}\nits console ends so:\n{console[-2000:]}") from None
            say(f"     not yet: {str(failure).splitlines()[-1]}")
            time.sleep(LOGIN_PAUSE_SECONDS)


def facts_of(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def compare(story: Story, guest: Guest, facts: dict[str, str], expected: dict[str, str]) -> None:
    """Holds the guest's facts against what was asked for; its id and its nonce always."""
    for fact, value in {"instance-id": guest.instance_id, "nonce": guest.nonce, **expected}.items():
        told = facts.get(fact, "")
        story.checks.append(Check(guest.name, fact, value, told, told == value))


def compare_root(story: Story, guest: Guest, facts: dict[str, str], *, partitioned: bool) -> None:
    """Root must lie on the first disk: on its first partition, or on all of it."""
    told = facts.get("root-device", "")
    pattern = r"/dev/(nvme0n1p1|[sv]da1|xvda1)" if partitioned else r"/dev/(nvme0n1|[sv]da|xvda)"
    expected = "first disk, partition 1" if partitioned else "first disk, all of it"
    story.checks.append(Check(guest.name, "root-device", expected, told, re.fullmatch(pattern, told) is not None))


def report(story: Story) -> int:
    """Prints checks, times and what was made, then what to try next; 1 where a check fails."""
    say("\n── What the guests told, against what was asked for")
    table([(c.guest, c.fact, c.expected, c.told, "same" if c.holds else "DIFFERENT") for c in story.checks])
    say("\n── Times")
    table([(name, f"{seconds:.1f} s") for name, seconds in story.phases.seconds.items()])
    say("\n── What was made")
    table(story.made)
    wrong = [check for check in story.checks if not check.holds]
    if wrong:
        raise DemoFailure("; ".join(f"{c.guest}: {c.fact} is {c.told!r}, expected {c.expected!r}" for c in wrong))
    data = stage.DATA.relative_to(stage.CHECKOUT)
    say("\nThe server stays up. Next, in this shell:")
    say(
        f'   eval "$(.venv/bin/amiable env --data {data} --account {story.user_account})"; export PATH="$PWD/.venv/bin:$PATH"'
    )
    say("   amiable image list; amiable instance list; aws ec2 describe-images --output table")
    for guest in story.guests:
        login = "" if guest.login == "root" else f" -l {guest.login}"
        say(f"   amiable instance ssh {guest.instance_id} -i {KEY_FILE.relative_to(stage.CHECKOUT)}{login}")
    say("   make demo-stop")
    return 0


def table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        say("   " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
