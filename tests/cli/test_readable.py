"""Nested values as a person reads them, one line a thing."""

from datetime import UTC, datetime
from typing import Any

import pytest

from amiable.cli.output import show_one, show_rows
from amiable.cli.readable import cell, first_ones, lines

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_device_says_what_is_attached_where() -> None:
    volume = {"AttachTime": WHEN, "DeleteOnTermination": True, "Status": "attached", "VolumeId": "vol-1"}
    found = [{"DeviceName": "/dev/sda1", "Ebs": volume}, {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}]
    assert lines("BlockDeviceMappings", found) == ["/dev/sda1 vol-1 attached", "/dev/sdb ephemeral0"]


def test_an_images_device_says_its_snapshot_and_size() -> None:
    volume = {"SnapshotId": "snap-1", "VolumeSize": 8, "VolumeType": "gp2", "DeleteOnTermination": False}
    found = [{"DeviceName": "/dev/sda1", "Ebs": volume}]
    assert lines("BlockDeviceMappings", found) == ["/dev/sda1 snap-1 8 GiB gp2, stays after termination"]


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("Tags", [{"Key": "Name", "Value": "a\nb"}, {"Key": "x", "Value": ""}], ["Name=a b", "x="]),
        ("SecurityGroups", [{"GroupId": "sg-1", "GroupName": "default"}], ["sg-1 default"]),
        ("LaunchPermissions", [{"UserId": "123456789012"}, {"Group": "all"}], ["123456789012", "all"]),
        ("LaunchPermissions", [{"OrganizationArn": "arn:o"}, {"OrganizationalUnitArn": "arn:u"}], ["arn:o", "arn:u"]),
        ("ExitAt", "2026-03-01T12:00:00.850Z", ["2026-03-01 12:00:00"]),
        ("Placement", {"AvailabilityZone": "z", "GroupName": "", "Inner": {"A": 1}}, ["AvailabilityZone=z, Inner.A=1"]),
        ("ProductCodes", ["a", "b"], ["a", "b"]),
        ("State", "running", ["running"]),
    ],
)
def test_other_structures_are_words(key: str, value: object, shown: list[str]) -> None:
    assert lines(key, value) == shown


def test_no_json_reaches_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    mapping = [{"DeviceName": f"/dev/sd{letter}", "Ebs": {"VolumeId": f"vol-{letter}"}} for letter in "ab"]
    show_one({"InstanceId": "i-1", "BlockDeviceMappings": mapping}, "table", identifier="InstanceId")
    assert capsys.readouterr().out.splitlines() == [
        "InstanceId           i-1",
        "BlockDeviceMappings  /dev/sda vol-a",
        "                     /dev/sdb vol-b",
    ]


def test_a_date_has_one_form_whether_the_api_gives_it_as_text_or_not() -> None:
    assert cell("2026-01-02T03:04:05.000Z", "CreationDate") == cell(WHEN) == "2026-01-02 03:04:05"
    assert cell("2026-01-02T03:04:05.000Z", "Name") == "2026-01-02T03:04:05.000Z"


def test_a_reason_of_many_lines_and_colours_keeps_the_table_whole(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = [
        {"Id": "i-1", "Reason": "qemu:\n\x1b[31mno\x1b]0;x\x07 memory\r\n"},
        {"Id": "i-2", "Reason": None},
    ]
    show_rows(rows, {"id": "Id", "reason": "Reason"}, "table", identifier="Id")
    assert capsys.readouterr().out == "ID   REASON\ni-1  qemu: no memory\ni-2  -\n"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ([], []),
        (["a", "b", "c", "d"], ["a", "b", "c", "d"]),
        (["a", "b", "c", "d", "e"], ["a", "b", "c", "and 2 more"]),
    ],
)
def test_of_a_long_list_the_first_ones_are_shown_and_how_many_more_there_are(
    words: list[str], shown: list[str]
) -> None:
    assert first_ones(words) == shown
