"""What may be written into a manifest: values that every known reader takes as they were meant."""

import re
from collections.abc import Iterable
from typing import Final

from amiable import __version__
from amiable.model.errors import LocalRefusal
from amiable.model.ids import is_account
from amiable.model.manifest import Bundler

WORD: Final = re.compile(r"[!-+\--~]{1,255}")
"""What an element may hold that no reader takes apart: readers split product codes and ancestors at commas."""

THIS_BUNDLER: Final = Bundler("amiable", __version__, "0")


def check_account(account_id: str) -> None:
    """Refuses what is no account number."""
    if not is_account(account_id):
        raise LocalRefusal(
            f"{account_id!r} is not an account number", hint="twelve digits, hyphens allowed, with --user"
        )


def check_words(what: str, texts: Iterable[str | None]) -> None:
    """Refuses each of ``texts`` that cannot be ``what`` (a kernel, a product code, …)."""
    for text in texts:
        if text is not None and not WORD.fullmatch(text):
            raise LocalRefusal(f"{text[:80]!r} cannot be {what}: 1 to 255 visible ASCII characters, no comma")
