"""Whether a value has the form of a pattern that a client wrote.

A pattern can be made to take longer than the universe lasts, and Python's ``re`` cannot be interrupted: so it is tried in a process of
its own, which may use a second of CPU and sees the value only.
"""

import subprocess
import sys
from typing import Final

import msgspec

from amiable.model.parameter_errors import SsmRefusal

CPU_SECONDS_MAX: Final = 1
WAIT_SECONDS_MAX: Final = 10
_PROGRAM: Final = f"""
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, ({CPU_SECONDS_MAX}, {CPU_SECONDS_MAX}))
pattern, value = json.load(sys.stdin)
try:
    compiled = re.compile(pattern)
except (re.error, OverflowError, RecursionError):
    sys.exit(2)
sys.exit(0 if compiled.fullmatch(value) else 3)
"""
_MATCHES, _MALFORMED, _DIFFERS = 0, 2, 3


def check_allowed_pattern(pattern: str, value: str) -> None:
    """Refuses a pattern that is none or that takes too long, and a value that does not match the whole of it."""
    try:
        code = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            input=msgspec.json.encode([pattern, value]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=WAIT_SECONDS_MAX,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        code = -1
    if code == _MATCHES:
        return
    if code == _DIFFERS:
        raise SsmRefusal(
            "ParameterPatternMismatchException",
            f"Parameter value, cannot be validated against allowedPattern: {pattern}",
        )
    why = "It is no regular expression." if code == _MALFORMED else "To try it takes too long."
    raise SsmRefusal(
        "InvalidAllowedPatternException",
        f"The request doesn't meet the regular expression requirement: {pattern}. {why}",
    )
