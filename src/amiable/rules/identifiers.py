"""The form of ids in a request: a refusal's text names the first that is wrong, as EC2's does, and the refusal has them all."""

from collections.abc import Iterable

from amiable.model import ids
from amiable.model.errors import Malformed


def check_form(noun: str, prefix: str, identifiers: Iterable[str] | None) -> None:
    """Refuses ids of ``noun`` that are not ``prefix-`` and 8 or 17 hex digits."""
    bad = [each for each in identifiers or () if not ids.is_well_formed(prefix, each)]
    if bad:
        raise Malformed(noun, bad[0], prefix, *bad[1:])
