"""The caller's name guard: ``/amiable/v1/name-guard``, ``/amiable/v1/name-guard-findings``."""

from typing import Final

import msgspec

from amiable.api import name_guard
from amiable.model.name_guard import NameGuard, NameGuardFinding
from amiable.server.amiable.calls import Answer, Routes, instant, read_body
from amiable.server.contracts import Authenticated
from amiable.services import Services


class SetNameGuard(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of PUT name-guard."""

    mode: str
    trusted: list[str]


def _get(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    return _guard(name_guard.get_name_guard(services, request.principal))


def _set(services: Services, request: Authenticated, _id: str, body: bytes) -> Answer:
    wanted = read_body(body, SetNameGuard)
    return _guard(name_guard.set_name_guard(services, request.principal, wanted.mode, wanted.trusted))


def _list_findings(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    return {"Findings": [_finding(each) for each in name_guard.list_findings(services, request.principal)]}


def _guard(it: NameGuard) -> Answer:
    return {"Mode": it.mode.value, "Trusted": list(it.trusted)}


def _finding(it: NameGuardFinding) -> Answer:
    return {
        "FoundAt": instant(it.found_at),
        "Region": it.region,
        "Result": "refused" if it.mode.value == "enforce" else "flagged",
        "ImageId": it.suspicion.image_id,
        "ImageName": it.suspicion.image_name,
        "ImageOwnerId": it.suspicion.image_owner_id,
        "LookedForBy": it.suspicion.pattern,
        "TrustedImageId": it.suspicion.trusted_image_id,
    }


ROUTES: Final[Routes] = {
    ("GET", "name-guard"):          _get,
    ("PUT", "name-guard"):          _set,
    ("GET", "name-guard-findings"): _list_findings,
}  # fmt: skip
