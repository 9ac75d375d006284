"""``python -m guests.tiny OUTDIR``: builds the tiny guest there."""

from __future__ import annotations

from guests.command import main
from guests.tiny.build import build

raise SystemExit(main("guests.tiny", build))
