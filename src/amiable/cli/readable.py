"""The API's nested values as lines that a person reads: one a volume, a network interface, a tag."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from amiable.cli.terminal_text import one_line

FIRST_ONES: Final = 3
_DATE_KEYS: Final = frozenset({
    "CreationDate", "CreatedAt", "DeprecationTime", "EndedAt", "EnteredAt", "ExitAt", "FoundAt", "LapsedAt",
    "LastLaunchedTime", "MovedAt", "PriceSince", "StartedAt",
})  # fmt: skip
_DATE: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)")


def cell(value: Any, key: str = "") -> str:
    """One value on one line, without anything that steers a terminal; ``-`` for none."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list | dict):
        return "; ".join(lines(key, value)) or "-"
    text = one_line(str(value))
    date = _DATE.fullmatch(text) if key in _DATE_KEYS else None
    return f"{date[1]} {date[2]}" if date else text


def lines(key: str, value: Any) -> list[str]:
    """The value of the field ``key`` as lines: one an element of a list, else a single one."""
    maker = MAKERS.get(key, _pairs)
    elements = value if isinstance(value, list) else [value]
    return [maker(one) if isinstance(one, dict) else cell(one, key) for one in elements]


def first_ones(words: Sequence[str]) -> list[str]:
    """The first words, and how many more there are: what a person reads of a long list."""
    rest = len(words) - FIRST_ONES
    return list(words) if rest <= 1 else [*words[:FIRST_ONES], f"and {rest} more"]


def device(mapping: dict[str, Any]) -> str:
    """``/dev/sda1 vol-… attached`` of an instance, ``/dev/sda1 snap-… 1 GiB gp2`` of an image."""
    volume = mapping.get("Ebs") or {}
    size = volume.get("VolumeSize")
    words = [
        mapping.get("DeviceName"),
        mapping.get("VirtualName"),
        volume.get("VolumeId"),
        volume.get("Status"),
        volume.get("SnapshotId"),
        f"{size} GiB" if size is not None else None,
        volume.get("VolumeType"),
    ]
    return _joined(words) + (", stays after termination" if volume.get("DeleteOnTermination") is False else "")


def interface(found: dict[str, Any]) -> str:
    """``eni-… 172.31.0.4 subnet-… in-use``."""
    return _joined([found.get(key) for key in ("NetworkInterfaceId", "PrivateIpAddress", "SubnetId", "Status")])


def group(found: dict[str, Any]) -> str:
    """``sg-… default``."""
    return _joined([found.get("GroupId"), found.get("GroupName")])


def tag(found: dict[str, Any]) -> str:
    """``Key=value``."""
    return f"{cell(found.get('Key'))}={cell(found.get('Value'))}"


def permission(found: dict[str, Any]) -> str:
    """The account, ``all``, or the ARN of an organization or unit."""
    return _joined([found.get(key) for key in ("UserId", "Group", "OrganizationArn", "OrganizationalUnitArn")])


def resource_tag(found: dict[str, Any]) -> str:
    """``Key=value`` of a retention rule's; the key alone stands for any value."""
    key, value = found.get("ResourceTagKey"), found.get("ResourceTagValue")
    return cell(key) if value is None else f"{cell(key)}={cell(value)}"


def period(found: dict[str, Any]) -> str:
    """``7 days``."""
    return f"{cell(found.get('RetentionPeriodValue'))} {cell(found.get('RetentionPeriodUnit')).lower()}"


def lock_configuration(found: dict[str, Any]) -> str:
    """``unlocked 7 days after it is asked for``."""
    delay = found.get("UnlockDelay") or {}
    return f"unlocked {cell(delay.get('UnlockDelayValue'))} {cell(delay.get('UnlockDelayUnit')).lower()} after it is asked for"


MAKERS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "BlockDeviceMappings": device,
    "NetworkInterfaces": interface,
    "SecurityGroups": group,
    "Groups": group,
    "Tags": tag,
    "LaunchPermissions": permission,
    "ResourceTags": resource_tag,
    "ExcludeResourceTags": resource_tag,
    "RetentionPeriod": period,
    "LockConfiguration": lock_configuration,
}


def _joined(words: list[Any]) -> str:
    return " ".join(cell(word) for word in words if word not in (None, ""))


def _pairs(found: dict[str, Any]) -> str:
    """Any other structure: ``Name=value`` of all that is not empty, inner names after a dot."""
    return ", ".join(_leaves(found, ""))


def _leaves(found: dict[str, Any], before: str) -> Iterator[str]:
    for key, value in found.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{key}.")
        elif value not in (None, "", []):
            yield f"{before}{key}={cell(value, key)}"
