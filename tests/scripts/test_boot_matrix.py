"""The page of what booted is made of the tests' notes, and of nothing else."""

from dataclasses import replace
from pathlib import Path

from scripts.boot_matrix import (
    COLUMNS,
    GUESTS,
    PAGE,
    UNTESTED,
    Boot,
    overclaims,
    page,
    read_boots,
    unknown,
    unsaid,
    write_boots,
)

A_BOOT = Boot("tiny", "nitro", "uefi", "SSH", 12.6, "tests/acceptance/test_x.py::test_y")


def test_a_boot_stands_in_its_guests_row_under_its_machine_with_its_test() -> None:
    (row,) = [line for line in page([A_BOOT]).splitlines() if "test_x.py" in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0].startswith("**tiny**") and cells[-1] == "`test_x.py`"
    assert cells[1 + COLUMNS.index(("nitro", "uefi"))] == "SSH, 13 s"
    assert sum(bool(cell) for cell in cells) == 3


def test_what_was_not_booted_is_called_untested() -> None:
    text = page([])
    assert all(f"**{guest}**" in text for guest in (*GUESTS, *UNTESTED))
    assert text.count("*untested here*") == len(UNTESTED)
    assert "SSH" not in text


def test_the_page_of_this_checkout_is_that_of_its_record() -> None:
    recorded = read_boots()
    assert PAGE.read_text() == page(recorded)
    assert recorded and unknown(recorded) == []
    for boot in recorded:
        assert boot.seconds > 0 and (PAGE.parents[2] / boot.test.partition("::")[0]).exists(), boot


def test_a_record_keeps_the_last_boot_of_each_place_in_order(tmp_path: Path) -> None:
    path = tmp_path / "boots.json"
    later, other = replace(A_BOOT, seconds=9.0), replace(A_BOOT, profile="virtio")
    write_boots([other, A_BOOT, later], path)
    assert read_boots(path) == [later, other]
    assert read_boots(tmp_path / "none") == []


def test_times_may_differ_and_what_was_reached_may_not() -> None:
    assert overclaims([A_BOOT], [replace(A_BOOT, seconds=99.0)]) == []
    assert overclaims([A_BOOT], [replace(A_BOOT, reached="userspace")]) == [
        "tiny, nitro, uefi: 'SSH' on the page, 'userspace' in this run"
    ]
    assert overclaims([A_BOOT], []) == ["tiny, nitro, uefi: 'SSH' on the page, None in this run"]
    assert overclaims([replace(A_BOOT, is_apart=True)], []) == []


def test_what_the_page_does_not_say_yet_is_told_and_is_no_false_claim() -> None:
    assert overclaims([], [A_BOOT]) == []
    assert unsaid([], [A_BOOT]) == ["tiny, nitro, uefi: nothing on the page, 'SSH' in this run"]
    assert unsaid([A_BOOT], [A_BOOT]) == []


def test_a_boot_without_a_place_on_the_page_is_unknown() -> None:
    assert unknown([A_BOOT, replace(A_BOOT, guest="Plan 9"), replace(A_BOOT, boot_mode="")]) == [
        replace(A_BOOT, guest="Plan 9"),
        replace(A_BOOT, boot_mode=""),
    ]
