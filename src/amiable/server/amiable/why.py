"""What keeps an image or a snapshot alive: ``/amiable/v1/why/{id}``."""

from typing import Final

from amiable.api import why
from amiable.model.keeper import Keeper
from amiable.server.amiable.calls import Answer, Routes
from amiable.server.contracts import Authenticated
from amiable.services import Services


def _explain(services: Services, request: Authenticated, resource_id: str, _body: bytes) -> Answer:
    found = why.explain(services, request.principal, resource_id)
    return {
        "ResourceId": found.resource_id,
        "FreeBytes": found.free_bytes,
        "Keepers": [_keeper(each) for each in found.keepers],
    }


def _keeper(it: Keeper) -> Answer:
    return {
        "Kind": it.kind.value,
        "ResourceId": it.resource_id,
        "AccountId": it.account_id,
        "Count": it.count,
        "Why": it.words,
        "Command": it.command,
        "Blocks": it.blocks,
    }


ROUTES: Final[Routes] = {("GET", "why/{}"): _explain}
