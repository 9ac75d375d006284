"""Where the cases lie: real files from other tools and hostile ones, each with its right answer."""

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def cases_dir() -> Path:
    """``AMIABLE_CASES``, else ``../shared/cases`` beside the checkout.  Skips without them, but fails where ``CI`` is set."""
    folder = Path(os.environ.get("AMIABLE_CASES") or CHECKOUT.parent / "shared" / "cases")
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"no cases at {folder}: set AMIABLE_CASES")
        pytest.skip(f"no cases at {folder}: set AMIABLE_CASES")
    return folder
