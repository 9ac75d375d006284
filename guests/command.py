"""The command line that every builder has."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from amiable.vm.appliance.programs import BuildFailure
from guests.outputs import default_cache


def main(module: str, build: Callable[[Path, Path], bool]) -> int:
    """Builds into the folder that the user names; its path alone goes to standard output."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("folder", metavar="OUTDIR", type=Path, help="where the files go; made again only when needed")
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), help="where packages are kept (default: %(default)s)"
    )
    arguments = parser.parse_args()
    started = time.monotonic()
    try:
        built = build(arguments.folder.absolute(), arguments.cache.absolute())
    except BuildFailure as failure:
        print(f"error: {failure}", file=sys.stderr)
        if failure.hint:
            print(f"\nhint: {failure.hint}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename or arguments.folder}: {error.strerror}", file=sys.stderr)
        return 74
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    print(f"built in {time.monotonic() - started:.1f} s" if built else "nothing to do", file=sys.stderr)
    print(arguments.folder)
    return 0
