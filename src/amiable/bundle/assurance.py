"""The sidecar of a bundle, ``NAME.assurance.json``: SHA-256s and tables that the classic format has no room for."""

from typing import Final

from amiable.bundle.recorder import Recorder

SUFFIX: Final = ".assurance.json"

__all__ = ["SUFFIX", "Recorder"]
