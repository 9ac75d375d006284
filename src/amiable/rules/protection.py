"""What an instance's protections keep its owner from: a stop, an end, by a call.  A guest's own power-off they do not touch.

    asked        disableApiTermination    disableApiStop
    stop         -                        refused: none of the request's instances is stopped
    terminate    refused, a zone at a time: a zone with a protected instance keeps all that were named of it, others go

An instance that is ending, or has ended, is protected from nothing more.  Source: EC2 API, TerminateInstances, StopInstances; that
stop protection keeps from termination too was seen on EC2 (cloud-custodian/cloud-custodian#7597).
"""

from collections.abc import Sequence

from amiable.model.errors import OperationNotPermitted
from amiable.model.instance import Instance, State

_STOPPABLE = (State.PENDING, State.RUNNING)
_ENDED = (State.SHUTTING_DOWN, State.TERMINATED)


def check_stop(named: Sequence[Instance]) -> None:
    """Refuses to stop where one of ``named`` is protected from it."""
    for each in named:
        if each.disable_api_stop and each.state in _STOPPABLE:
            raise _refusal(each, "stopped", "disableApiStop")


def split_by_protection(named: Sequence[Instance]) -> tuple[list[Instance], OperationNotPermitted | None]:
    """Those of ``named`` that may be terminated, and the refusal of the others; None where all may."""
    refusals = {each.zone: refusal for each in reversed(named) if (refusal := _of_termination(each)) is not None}
    first = next((refusals[each.zone] for each in named if each.zone in refusals), None)
    return [each for each in named if each.zone not in refusals], first


def _of_termination(instance: Instance) -> OperationNotPermitted | None:
    if instance.state in _ENDED:
        return None
    if instance.disable_api_termination:
        return _refusal(instance, "terminated", "disableApiTermination")
    return _refusal(instance, "terminated", "disableApiStop") if instance.disable_api_stop else None


def _refusal(instance: Instance, verb: str, attribute: str) -> OperationNotPermitted:
    return OperationNotPermitted(
        f"The instance '{instance.id}' may not be {verb}. Modify its '{attribute}' instance attribute and try again."
    )
