"""Asking the person at the terminal before something is destroyed."""

import sys


def confirmed(question: str) -> bool:
    """Whether the person at the terminal says yes; no where there is none."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
