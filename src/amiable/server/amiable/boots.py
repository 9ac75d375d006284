"""An instance's boots: their course in time, and the whole log of each machine's console."""

import base64
from typing import Final

from amiable.api import boots
from amiable.model.boot import Boot
from amiable.model.errors import InvalidParameterValue
from amiable.server.amiable.calls import Answer, Routes, instant
from amiable.server.contracts import Authenticated
from amiable.services import Services


def _boots(services: Services, request: Authenticated, instance_id: str, _body: bytes) -> Answer:
    return {"Boots": [_boot(each) for each in boots.list_boots(services, request.principal, instance_id)]}


def _boot(boot: Boot) -> Answer:
    cause = {"Fault": boot.cause.fault.value, "Words": boot.cause.words} if boot.cause else None
    marks = [{"Stage": mark.stage.value, "Seconds": mark.seconds, "AtLatest": mark.is_at_latest} for mark in boot.marks]
    return {
        "Position": boot.position,
        "Machine": boot.machine,
        "BeganBy": "reset" if boot.is_reset else "start",
        "BeganAt": instant(boot.began_at),
        "Marks": marks,
        "Cause": cause,
    }


def _console_log(services: Services, request: Authenticated, instance_id: str, _body: bytes) -> Answer:
    asked = request.query.get("boot")
    if asked is not None and not (asked.isascii() and asked.isdigit() and len(asked) < 10):
        raise InvalidParameterValue(parameter="boot", value=asked[:40], why="Give the number of one of its machines.")
    found = boots.console_log_of(services, request.principal, instance_id, int(asked) if asked else None)
    return {"Boot": found.boot, "Boots": found.known, "Output": base64.b64encode(found.text).decode()}


ROUTES: Final[Routes] = {
    ("GET",    "instances/{}/boots"): _boots,
    ("GET",    "instances/{}/console-log"): _console_log,
}  # fmt: skip
