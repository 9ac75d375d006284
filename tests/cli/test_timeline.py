"""The timeline as people read it: one line a stage, the cause last, a boot without news not left out."""

import json

import pytest

from amiable.cli.timeline import show_timeline

BOOTS = [
    {
        "Position": 1,
        "Machine": 1,
        "BeganBy": "start",
        "BeganAt": "2026-01-31T09:05:03.000Z",
        "Marks": [
            {"Stage": "firmware", "Seconds": 0.4, "AtLatest": False},
            {"Stage": "kernel", "Seconds": 12.0, "AtLatest": True},
        ],
        "Cause": {"Fault": "kernel-panic", "Words": "The guest's kernel panicked."},
    },
    {
        "Position": 2,
        "Machine": 1,
        "BeganBy": "reset",
        "BeganAt": "2026-01-31T09:06:03.000Z",
        "Marks": [],
        "Cause": None,
    },
]


def test_each_stage_has_its_line_and_each_boot_its_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    show_timeline(BOOTS, "table")
    assert capsys.readouterr().out.splitlines() == [
        "BOOT  BEGAN                              STAGE         SECONDS  NOTE",
        "1     2026-01-31T09:05:03.000Z by start  firmware      0.40",
        "1                                        kernel        12.00    at the latest",
        "1                                        kernel-panic           The guest's kernel panicked.",
        "2     2026-01-31T09:06:03.000Z by reset                         nothing was seen yet",
    ]


def test_json_is_what_the_api_says(capsys: pytest.CaptureFixture[str]) -> None:
    show_timeline(BOOTS, "json")
    assert json.loads(capsys.readouterr().out) == BOOTS
