"""Fuzzes the readers of foreign bytes, each for a bounded time and in bounded memory, by atheris (libFuzzer).

    python -m fuzz [TARGET …] [--seconds 60] [--keep]

An input that makes a reader fail, hang or grow is left in ``build/fuzz/<target>``; the command fails.  ``--keep`` adds what reached
new code to ``fuzz/kept``.
"""

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from fuzz.seeds import KEPT, seeds_of
from fuzz.targets import TARGETS

MEMORY_MIB_MAX: Final = 768
INPUT_SECONDS_MAX: Final = 20
INPUT_BYTES_MAX: Final = 1 << 16
KEPT_BYTES_MAX: Final = 4096
KEPT_FILES_MAX: Final = 40
BUILD: Final = Path("build/fuzz")


def run_one(name: str, arguments: list[str]) -> None:
    """Becomes libFuzzer for the target ``name``: never returns."""
    import atheris  # only where it is installed: make fuzz

    with atheris.instrument_imports(include=["amiable"]):
        for module in [module for module in sys.modules if module.startswith(("amiable", "fuzz"))]:
            del sys.modules[module]
        from fuzz.targets import TARGETS as instrumented

    atheris.Setup([name, *arguments], instrumented[name])
    atheris.Fuzz()


def fuzz(name: str, seconds: int, *, keep: bool) -> int:
    """The exit code of fuzzing ``name`` for ``seconds``."""
    corpus, crashes = BUILD / name / "corpus", BUILD / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds_of(name)):
        (corpus / f"seed-{number:03d}").write_bytes(seed)
    limits = [f"-rss_limit_mb={MEMORY_MIB_MAX}", f"-timeout={INPUT_SECONDS_MAX}", f"-max_len={INPUT_BYTES_MAX}"]
    code = libfuzzer(name, [*limits, f"-max_total_time={seconds}", f"-artifact_prefix={crashes}/", str(corpus)])
    if keep and code == 0:
        keep_corpus(name, corpus)
    return code


def keep_corpus(name: str, corpus: Path) -> None:
    """Adds the shortest of what reached new code to what is kept for ``name``."""
    known = {hashlib.sha256(seed).digest() for seed in seeds_of(name)}
    (KEPT / name).mkdir(parents=True, exist_ok=True)
    left = KEPT_FILES_MAX - len(list((KEPT / name).iterdir()))
    for path in sorted(corpus.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        data = path.read_bytes()
        if left > 0 and len(data) <= KEPT_BYTES_MAX and hashlib.sha256(data).digest() not in known:
            (KEPT / name / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
            left -= 1


def libfuzzer(name: str, arguments: list[str]) -> int:
    """Runs the target ``name`` in a process of its own; its words go to ``build/fuzz/<target>/log``, their end here."""
    log = BUILD / name / "log"
    with log.open("wb") as file:
        code = subprocess.run(
            [sys.executable, "-m", "fuzz", "--one", name, *arguments], check=False, stdout=file, stderr=file
        ).returncode
    lines = log.read_text(errors="replace").splitlines()
    told = [line for line in lines if "DONE" in line] if code == 0 else lines[-30:]
    print(*(f"{name}: {line}" for line in told), sep="\n", flush=True)
    return code


def main() -> int:
    """Fuzzes what the command line names; 1 where a target failed."""
    if sys.argv[1:2] == ["--one"]:
        run_one(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the readers of foreign bytes.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--keep", action="store_true", help="keep what reached new code")
    chosen = parser.parse_args()
    if unknown := set(chosen.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}: there are {', '.join(TARGETS)}")
    failed = [name for name in chosen.targets or TARGETS if fuzz(name, chosen.seconds, keep=chosen.keep)]
    print(f"failed: {', '.join(failed)}; see {BUILD}" if failed else "no target failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
