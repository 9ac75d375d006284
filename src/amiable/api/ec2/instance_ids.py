"""Instances that a request names: every id well-formed, every one there and the caller's, or the request fails as a whole."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from amiable.database import instances
from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue, MissingParameter, NotFound
from amiable.model.instance import Instance
from amiable.model.principal import Principal
from amiable.rules.identifiers import check_form

INSTANCE_IDS_MAX: Final = 1000


def check_ids(instance_ids: Sequence[str] | None) -> list[str]:
    """The ids, each once; refuses one of the wrong form, and too many."""
    check_form("instance", ids.INSTANCE, instance_ids)
    if instance_ids and len(instance_ids) > INSTANCE_IDS_MAX:
        raise InvalidParameterValue(
            f"A request may name {INSTANCE_IDS_MAX} instances at most; this one names {len(instance_ids)}."
        )
    return list(dict.fromkeys(instance_ids or []))


def refuse_page_of_ids(wanted_ids: Sequence[str], max_results: int | None, next_token: str | None) -> None:
    """Refuses pages of what is asked for by id."""
    if wanted_ids and (max_results is not None or next_token):
        raise InvalidParameterCombination("The parameter instancesSet cannot be used with the parameter maxResults")


def find_named(
    c: Connection, principal: Principal, instance_ids: Sequence[str] | None, *, now: datetime
) -> list[Instance]:
    """The instances of the ids, in the request's order; at least one must be named."""
    wanted = check_ids(instance_ids)
    if not wanted:
        raise MissingParameter(parameter="InstanceId")
    found = {each.id: each for each in find_visible(c, principal, wanted, now=now)}
    return [found[instance_id] for instance_id in wanted]


def find_visible(c: Connection, principal: Principal, wanted: Sequence[str], *, now: datetime) -> list[Instance]:
    """The caller's instances, or only the ``wanted`` ones: all of these must be there."""
    found = instances.list_visible(c, principal.account_id, principal.region, now=now, ids=wanted)
    missing = sorted(set(wanted) - {each.id for each in found}, key=list(wanted).index)
    if missing:
        raise NotFound("instance", missing)
    return found
