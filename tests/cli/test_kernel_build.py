"""``amiable kernel appliance`` and ``build-pv32``: what they print, and what they refuse with."""

from pathlib import Path

import pytest

from amiable.cli.kernel_build import appliance, build_pv32
from amiable.model.errors import LocalRefusal
from amiable.vm.appliance import assembly, pv32
from tests.vm.appliance.test_assembly import make


def test_an_appliance_that_is_there_is_named_and_nothing_is_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(tmp_path / "appliance", "whole", assembly._builder_digest())
    monkeypatch.setenv("PATH", "/nowhere")  # no apt
    appliance(data=str(tmp_path))
    said = capsys.readouterr()
    assert (said.out, said.err) == (f"{made}\n", "")


def test_where_apt_cannot_give_it_the_refusal_has_apts_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("apt-get", "apt-cache"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2; exit 100\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(LocalRefusal, match="Unable to locate package"):
        appliance(data=str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_a_build_without_its_tools_names_all_their_packages_at_once_before_it_fetches_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalRefusal, match="flex, bison") as refusal:
        build_pv32(data=str(tmp_path / "data"))
    assert "apt-get install --no-install-recommends" in refusal.value.advice
    assert "untested with a genuine old kernel" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_build_whose_source_cannot_be_had_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in (*pv32.TOOLS, "apt-get"):
        (programs / name).write_text("#!/bin/sh\necho 'E: no network' >&2; exit 100\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    with pytest.raises(LocalRefusal, match="no network"):
        build_pv32(data=str(tmp_path / "data"))
    assert list(tmp_path.iterdir()) == [programs]
