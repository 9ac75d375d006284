"""``amiable recycle-bin rule`` over a real edge: a rule from its making to its end, and what is refused on the way."""

import json
from typing import Any

import pytest

from amiable.cli.main import main
from tests.server.edge import Edge

Capture = pytest.CaptureFixture[str]


def made(capsys: Capture, *words: str) -> str:
    assert main(["recycle-bin", "rule", "create", *words]) == 0
    return capsys.readouterr().out.strip()


def rules(capsys: Capture) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["recycle-bin", "rule", "list", "--output", "json"]) == 0
    return {row["Identifier"]: row for row in json.loads(capsys.readouterr().out)}


@pytest.mark.usefixtures("edge")
def test_a_rule_keeps_what_it_was_made_and_changed_to_keep(capsys: Capture) -> None:
    rule = made(
        capsys, "image", "--days", "30", "--except", "scratch", "--except", "stage=test=1", "--description", "d"
    )
    row = rules(capsys)[rule]
    told = ("ResourceType", "Days", "Keeps", "Except", "Description", "Lock")
    assert [row[key] for key in told] == ["EC2_IMAGE", 30, ["everything"], ["scratch", "stage=test=1"], "d", "unlocked"]
    assert main(["recycle-bin", "rule", "update", rule, "--days", "365", "--no-except", "--description", ""]) == 0
    assert "RetentionPeriod" in capsys.readouterr().out
    row = rules(capsys)[rule]
    assert [row[key] for key in told] == ["EC2_IMAGE", 365, ["everything"], [], "", "unlocked"]
    tagged = made(capsys, "snapshot", "--days", "1", "--tag", "keep", "--tag", "stage=")
    assert main(["recycle-bin", "rule", "update", tagged, "--tag", "only"]) == 0
    assert rules(capsys)[tagged]["Keeps"] == ["only"]
    assert main(["recycle-bin", "rules", "--output", "id"]) == 0
    assert set(capsys.readouterr().out.split()) == {rule, tagged}


@pytest.mark.usefixtures("edge")
def test_a_rule_is_shown_in_words(capsys: Capture) -> None:
    rule = made(capsys, "snapshot", "--days", "7", "--tag", "a", "--tag", "b=c")
    assert main(["recycle-bin", "rule", "show", rule]) == 0
    shown = [line.split(None, 1) for line in capsys.readouterr().out.splitlines()]
    assert ["RetentionPeriod", "7 days"] in shown and ["ResourceTags", "a"] in shown and ["b=c"] in shown
    locked = made(capsys, "image", "--days", "7", "--lock", "9")
    assert main(["recycle-bin", "rule", "show", locked]) == 0
    assert "unlocked 9 days after it is asked for" in capsys.readouterr().out


@pytest.mark.usefixtures("edge")
def test_a_lock_holds_until_its_delay_is_over(capsys: Capture) -> None:
    rule, free = made(capsys, "image", "--days", "7"), made(capsys, "image", "--days", "8")
    assert main(["recycle-bin", "rule", "lock", rule, "--days", "30"]) == 0
    capsys.readouterr()
    assert main(["recycle-bin", "rule", "update", rule, "--days", "9"]) == 1
    assert f"hint: amiable recycle-bin rule unlock {rule}" in capsys.readouterr().err
    assert main(["recycle-bin", "rule", "delete", free, rule, "--yes"]) == 1
    assert f"hint: amiable recycle-bin rule unlock {rule}" in capsys.readouterr().err
    assert main(["recycle-bin", "rule", "unlock", rule, "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["LockState"] == "pending_unlock"
    assert main(["recycle-bin", "rule", "delete", free, rule, "--yes"]) == 1
    assert f"hint: amiable recycle-bin rule show {rule}" in capsys.readouterr().err
    assert set(rules(capsys)) == {rule, free}
    with pytest.raises(SystemExit):
        main(["recycle-bin", "rule", "delete", free])
    assert f"would delete {free} (EC2_IMAGE, 8 days)" in capsys.readouterr().err
    assert main(["recycle-bin", "rule", "delete", free, free, "--yes"]) == 0
    assert list(rules(capsys)) == [rule]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("create", "image", "--days", "0"), 2, "--days"),
        (("create", "image", "--days", "366"), 2, "--days"),
        (("create", "image", "--days", "9" * 30), 2, "--days"),
        (("create", "image", "--days", "7", "--lock", "6"), 2, "--lock"),
        (("create", "volume", "--days", "7"), 2, "volume"),
        (("create", "image", "--days", "7", "--tag", ""), 2, "hint: KEY or KEY=VALUE"),
        (("create", "image", "--days", "7", "--tag", "=v"), 2, "hint: KEY or KEY=VALUE"),
        (("create", "image", "--days", "7", "--tag", "a", "--except", "b"), 2, "exclude each other"),
        (("create", "image", "--days", "7", "--tag", "a", "--tag", "a"), 1, "The same tag stands twice"),
        (("create", "image", "--days", "7", "--tag", "a", "--lock", "7"), 1, "without --tag and --except"),
        (("create", "image", "--days", "7", *(f"--except={each}" for each in "abcdef")), 1, "5"),
        (("create", "image", "--days", "7", "--description", "x" * 256), 1, "escription"),
        (("update", "abcdefghijk"), 2, "nothing is to be changed"),
        (("update", "abcdefghijk", "--no-except", "--except", "a"), 2, "exclude each other"),
        (("update", "abcdefghijk", "--days", "7"), 1, "hint: amiable recycle-bin rule list"),
        (("delete",), 2, "hint: amiable recycle-bin rule list"),
        *(
            ((verb, wrong), 1, "hint: amiable recycle-bin rule list")
            for verb in ("show", "lock", "unlock", "delete")
            for wrong in ("", "x/../y", "é" * 11, "abc", "abcdefghijk")
        ),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("edge")
def test_what_cannot_be_is_refused_with_what_to_do(
    words: tuple[str, ...], code: int, said: str, capsys: Capture
) -> None:
    assert main(["recycle-bin", "rule", *words]) == code
    assert said in capsys.readouterr().err
    assert rules(capsys) == {}


@pytest.mark.usefixtures("edge")
def test_a_tag_that_many_rules_name_is_a_quota_and_no_full_disk(edge: Edge, capsys: Capture) -> None:
    for _ in range(5):
        made(capsys, "image", "--days", "7", "--tag", "a")
    assert main(["recycle-bin", "rule", "create", "image", "--days", "7", "--tag", "a"]) == 1
    assert "hint: delete one: amiable recycle-bin rule list" in capsys.readouterr().err
