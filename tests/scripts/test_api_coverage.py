"""The coverage page says what the tables and the tests say, and a run's proofs are held against it."""

import subprocess
import sys
from pathlib import Path

import pytest
from scripts.reference_actions import COMPANIONS, EC2

from amiable.wire import operations
from amiable.wire.generated.ec2 import ACTIONS
from scripts import api_coverage
from tests.support import proofs

SECONDS_MAX = 120
TEST = """
import pytest

@pytest.mark.proves("ec2", "DescribeImages", "CreateTags")
def test_one(): pass

@pytest.mark.proves("ec2", "CreateTags")
@pytest.mark.parametrize("n", [1, 2])
def test_two(n): assert n == 1

@pytest.mark.proves("s3", "PutObject")
@pytest.mark.parametrize("n", [1, 2])
def test_three(n): pass

@pytest.mark.proves("s3", "GetObject")
def test_four(): pytest.skip("no reason")
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest over ``folder`` with the plugin, whose record lies in the folder."""
    plugin = (
        "from pathlib import Path\nfrom scripts import api_coverage\nfrom tests.support.proofs import Proofs\n"
        f"for f in (api_coverage.read_proofs, api_coverage.write_proofs): f.__defaults__ = (Path({str(folder)!r}) / 'proved.txt',)\n"
        "def pytest_addoption(parser): parser.addoption('--record-proofs', action='store_true')\n"
        "def pytest_configure(config):\n    config.addinivalue_line('markers', 'proves(a)')\n    config.pluginmanager.register(Proofs(config))\n"
    )
    (folder / "conftest.py").write_text(plugin)
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = .\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_what_passed_is_proved_and_what_failed_in_any_case_or_was_skipped_is_not(
    tmp_path: Path, workers: list[str]
) -> None:
    (tmp_path / "test_it.py").write_text(TEST)
    before = {("ec2", "CreateTags"): "test_it.py::test_one", ("ec2", "RunInstances"): "test_it.py::test_elsewhere"}
    api_coverage.write_proofs(before, tmp_path / "proved.txt")
    assert run(tmp_path, "--record-proofs", *workers).returncode == 1
    assert api_coverage.read_proofs(tmp_path / "proved.txt") == {
        ("ec2", "DescribeImages"): "test_it.py::test_one",
        ("ec2", "RunInstances"): "test_it.py::test_elsewhere",
        ("s3", "PutObject"): "test_it.py::test_three",
    }


def test_a_whole_run_fails_where_the_page_claims_what_was_not_proved(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST.replace("n == 1", "n"))
    api_coverage.write_proofs({("ec2", "RunInstances"): "test_it.py::test_gone"}, tmp_path / "proved.txt")
    whole = run(tmp_path)
    assert whole.returncode == 1
    assert "ec2 RunInstances is called real by test_it.py::test_gone, which did not prove it" in whole.stdout
    assert "s3 PutObject was proved by test_it.py::test_three, and the page does not say so" in whole.stdout
    assert run(tmp_path, "test_it.py").returncode == 0  # a part of the tests says nothing about the rest


def test_a_record_of_all_marked_tests_is_made_anew_and_then_holds(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST.replace("n == 1", "n"))
    api_coverage.write_proofs({("ec2", "RunInstances"): "test_it.py::test_gone"}, tmp_path / "proved.txt")
    assert run(tmp_path, "--record-proofs", "-m", proofs.ALL_MARKED).returncode == 0
    assert ("ec2", "RunInstances") not in api_coverage.read_proofs(tmp_path / "proved.txt")
    assert run(tmp_path).returncode == 0


def test_a_mark_that_names_no_operation_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST.replace("DescribeImages", "DescribeImage"))
    assert "there is no such operation" in run(tmp_path).stderr


def test_every_action_of_the_reference_is_an_action_and_stands_once() -> None:
    names = [name for tiers in EC2.values() for words in tiers.values() for name in words.split()]
    assert len(names) == len(set(names)) == 240
    assert set(names) <= set(ACTIONS)
    counts = {tier: sum(len(tiers.get(tier, "").split()) for tiers in EC2.values()) for tier in "ABC"}
    assert counts == {"A": 49, "B": 118, "C": 73}


def test_what_has_no_function_is_absent_whatever_is_on_record() -> None:
    proved = {("ec2", "CreateFpgaImage"): "a test", ("ec2", "DescribeImages"): "a test"}
    built = api_coverage.answered()["ec2"]
    depths = {
        name: api_coverage.depth("ec2", name, built, proved)
        for name in ("CreateFpgaImage", "DescribeImages", "DescribeRouteTables")
    }
    assert depths == {"CreateFpgaImage": "absent", "DescribeImages": "real", "DescribeRouteTables": "record-only"}
    assert api_coverage.depth("ec2", "DescribeImages", built, {}) == "unproved"


def test_every_operation_that_is_answered_is_known_to_the_wire() -> None:
    built = api_coverage.answered()
    assert built["s3"] == set(COMPANIONS["s3"][1].split())
    for service in set(built) - {"s3"}:
        assert built[service] <= set(operations.SERVICES[service])
