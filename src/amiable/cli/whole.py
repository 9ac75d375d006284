"""Whole numbers of the command line: ``1.5`` is none, where cyclopts rounds it."""

import re
from collections.abc import Sequence
from typing import Any, Final

import cyclopts

_WHOLE: Final = re.compile(r"[+-]?[0-9]+")


def whole(hint: Any, tokens: Sequence[cyclopts.Token]) -> Any:
    """The converter of a parameter that takes ``int``."""
    for token in tokens:
        if _WHOLE.fullmatch(token.value) is None:
            raise ValueError(f"'{token.value}' is no whole number")
    return cyclopts.convert(hint, [token.value for token in tokens])
