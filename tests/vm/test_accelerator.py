"""What executes guests, where the QEMU that is set cannot even be run."""

from pathlib import Path

from amiable.vm import accelerator


def test_a_qemu_that_is_no_program_is_named_and_ends_no_start(tmp_path: Path) -> None:
    program = tmp_path / "qemu"
    program.write_bytes(b"\0nonsense")
    program.chmod(0o755)
    assert accelerator._version(str(program)) == ""
    assert accelerator._boots_a_sector(str(program)) == (False, f"{program} cannot be run: Exec format error")
