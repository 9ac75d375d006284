"""The demo believes no guest: what it tells is held against what was asked for."""

import pytest
from scripts.demo_stage import DemoFailure
from scripts.demo_story import Guest, Story, compare, compare_root, facts_of, report

GUEST = Guest(name="hvm", instance_id="i-0123456789abcdef0", nonce="n1", login="root", seconds_max=180)
TOLD = "instance-id=i-0123456789abcdef0\nnonce=n1\nroot-device=/dev/nvme0n1p1\nkernel=6.1\nsome words without a fact\n"


def story_of(told: str, **expected: str) -> Story:
    story = Story()
    facts = facts_of(told)
    compare(story, GUEST, facts, expected)
    compare_root(story, GUEST, facts, partitioned=True)
    return story


def test_equal_facts_end_the_demo_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(story_of(TOLD, kernel="6.1")) == 0
    printed = capsys.readouterr().out
    assert printed.rstrip().endswith("make demo-stop")
    assert "DIFFERENT" not in printed


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (("i-0123456789abcdef0", "i-0fedcba9876543210"), "instance-id"),
        (("nonce=n1", "nonce=n2"), "nonce"),
        (("nonce=n1\n", ""), "nonce"),
        (("kernel=6.1", "kernel=5.10"), "kernel"),
        (("/dev/nvme0n1p1", "/dev/nvme0n1"), "root-device"),
        (("/dev/nvme0n1p1", "/dev/vdb1"), "root-device"),
    ],
)
def test_one_fact_that_differs_fails_the_demo_and_is_named(change: tuple[str, str], fact: str) -> None:
    with pytest.raises(DemoFailure, match=f"hvm: {fact} is"):
        report(story_of(TOLD.replace(*change), kernel="6.1"))
