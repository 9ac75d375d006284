"""What mmdebstrap is told, and the files that it is given."""

import io
import tarfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from amiable.bundle.house.system import FORGOTTEN, System, TextFile, archive_of, bootstrap_command

NAMES = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,3}", fullmatch=True)
FILES = st.dictionaries(NAMES, st.builds(TextFile, st.text(), st.sampled_from([0o644, 0o755, 0o440])), max_size=6)


@given(FILES)
def test_the_archive_holds_each_file_as_it_is_and_of_root(files: dict[str, TextFile]) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive_of(files))) as tar:
        entries = tar.getmembers()
        found = {}
        for entry in entries:
            opened = tar.extractfile(entry)
            assert opened is not None
            found[entry.name] = TextFile(opened.read().decode(), entry.mode)
    assert found == files
    assert {(entry.uid, entry.gid) for entry in entries} <= {(0, 0)}


@given(FILES)
def test_equal_files_make_equal_archives_in_whatever_order(files: dict[str, TextFile]) -> None:
    assert archive_of(files) == archive_of(dict(reversed(files.items())))


def test_the_commands_run_in_their_order_and_identities_are_forgotten_last() -> None:
    system = System(
        name="x",
        label="x-root",
        packages=("udev", "curl"),
        files={},
        commands=("first", "second"),
        early_commands=("early",),
        masked_units=("fstrim.timer",),
    )
    command = bootstrap_command(system, Path("/scratch/files.tar"), Path("/scratch/root.tar"))
    assert command[0] == "mmdebstrap" and "--include=udev,curl" in command
    assert command[-3:] == ["bookworm", "/scratch/root.tar", "-"]
    assert [word for word in command if word.startswith("--essential-hook=")] == ["--essential-hook=early"]
    hooks = [word.removeprefix("--customize-hook=") for word in command if word.startswith("--customize-hook=")]
    assert hooks[:3] == ["tar-in /scratch/files.tar /", "first", "second"]
    assert "fstrim.timer" in hooks[3] and hooks[4:] == [FORGOTTEN]
