"""Credentials of the house account: ``/amiable/v1/house-session``."""

from typing import Final

from amiable.api import house
from amiable.server.amiable.calls import Answer, Routes, instant
from amiable.server.contracts import Authenticated
from amiable.services import Services


def _begin(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    begun = house.begin_house_session(services, request.principal)
    return {
        "AccountId": begun.account_id,
        "AccessKeyId": begun.session.key_id,
        "SecretAccessKey": begun.session.secret,
        "SessionToken": begun.session.token,
        "Expiration": instant(begun.expires_at),
    }


ROUTES: Final[Routes] = {("POST", "house-session"): _begin}
