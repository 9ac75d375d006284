"""What may happen to an instance, and nothing else.

                        ┌──────────── start-failed ─────────────┐
                        │                                       ▼
    (launch) ──▶ pending ──booted──▶ running ──stop-asked────▶ stopping ──stopped──▶ stopped
                  ▲  │                  │    ──guest-powered-off─▶ │                   │ │
                  │  │                  │    ──process-died───────▶ │                   │ │
                  │  └─launch-failed─┐  └──terminate-asked──┐       └─terminate-asked─┐ │ │
                  │                  ▼                      ▼                         ▼ │ │
                  │              terminated ◀──terminated── shutting-down ◀─terminate-asked │
                  └─────────────────────────── start-asked ───────────────────────────────┘

    running ──host-restarted──▶ pending: its process ended with the host's last boot, and the policy brings it back
    running ──started-anew────▶ pending: a reboot that its QEMU does not survive, for its TPM has ended

Asking again for what is so, or is under way, changes nothing (``stop-asked`` when stopped, ``terminate-asked`` when
terminated), and neither does a job that runs twice (``stopped`` when stopped).  The absence of an arrow is a refusal.  Source: EC2 user guide, "Instance state changes".

What a guest's power-off, a dead QEMU or the host's restart asks for depends on the instance: :func:`when_guest_powered_off`,
:func:`when_process_died`, :func:`when_host_restarted`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from amiable.model.errors import IncorrectInstanceState
from amiable.model.instance import Instance, Reason, State


class Event(StrEnum):
    """What happens to an instance."""

    BOOTED = "booted"  # QEMU runs
    LAUNCH_FAILED = "launch-failed"  # the first boot could not be made; all is cleaned up
    START_FAILED = "start-failed"  # a later boot could not be made
    GUEST_POWERED_OFF = "guest-powered-off"
    PROCESS_DIED = "process-died"
    HOST_RESTARTED = "host-restarted"  # its process ended with the host; it is started again
    STARTED_ANEW = "started-anew"  # its QEMU cannot be reset; another takes its place
    REBOOT_ASKED = "reboot-asked"
    STOP_ASKED = "stop-asked"
    STOPPED = "stopped"
    START_ASKED = "start-asked"
    TERMINATE_ASKED = "terminate-asked"
    TERMINATED = "terminated"


NEXT: Final[Mapping[tuple[State, Event], State]] = {
    (State.PENDING, Event.BOOTED): State.RUNNING,
    (State.PENDING, Event.LAUNCH_FAILED): State.TERMINATED,
    (State.PENDING, Event.START_FAILED): State.STOPPED,
    (State.PENDING, Event.START_ASKED): State.PENDING,
    (State.PENDING, Event.REBOOT_ASKED): State.PENDING,
    (State.PENDING, Event.TERMINATE_ASKED): State.SHUTTING_DOWN,
    (State.RUNNING, Event.BOOTED): State.RUNNING,
    (State.RUNNING, Event.START_ASKED): State.RUNNING,
    (State.RUNNING, Event.REBOOT_ASKED): State.RUNNING,
    (State.RUNNING, Event.STOP_ASKED): State.STOPPING,
    (State.RUNNING, Event.GUEST_POWERED_OFF): State.STOPPING,
    (State.RUNNING, Event.PROCESS_DIED): State.STOPPING,
    (State.RUNNING, Event.HOST_RESTARTED): State.PENDING,
    (State.RUNNING, Event.STARTED_ANEW): State.PENDING,
    (State.RUNNING, Event.TERMINATE_ASKED): State.SHUTTING_DOWN,
    (State.STOPPING, Event.STOP_ASKED): State.STOPPING,
    (State.STOPPING, Event.STOPPED): State.STOPPED,
    (State.STOPPING, Event.TERMINATE_ASKED): State.SHUTTING_DOWN,
    (State.STOPPED, Event.STOPPED): State.STOPPED,
    (State.STOPPED, Event.STOP_ASKED): State.STOPPED,
    (State.STOPPED, Event.START_ASKED): State.PENDING,
    (State.STOPPED, Event.TERMINATE_ASKED): State.SHUTTING_DOWN,
    (State.SHUTTING_DOWN, Event.TERMINATE_ASKED): State.SHUTTING_DOWN,
    (State.SHUTTING_DOWN, Event.TERMINATED): State.TERMINATED,
    (State.TERMINATED, Event.TERMINATE_ASKED): State.TERMINATED,
    (State.TERMINATED, Event.TERMINATED): State.TERMINATED,
}

VERBS: Final[Mapping[Event, str]] = {
    Event.STOP_ASKED: "stopped",
    Event.START_ASKED: "started",
    Event.REBOOT_ASKED: "rebooted",
}


def step(instance_id: str, state: State, event: Event) -> State:
    """The state after ``event``; raises IncorrectInstanceState where the table has no row."""
    after = NEXT.get((state, event))
    if after is None:
        raise IncorrectInstanceState(
            instance_id=instance_id, state=state, event=event, verb=VERBS.get(event, event.value)
        )
    return after


@dataclass(frozen=True, slots=True)
class Ending:
    """What an instance's end asks for: the event, why, and the kind of job that finishes it."""

    event: Event
    reason: Reason
    job: str  # stop | terminate


def when_guest_powered_off(instance: Instance) -> Ending:
    """A power-off from inside: stops or terminates, as the launch said; an instance-store root can only be terminated."""
    reason = Reason("Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown")
    if instance.is_ebs and instance.shutdown_behavior == "stop":
        return Ending(Event.GUEST_POWERED_OFF, reason, "stop")
    return Ending(Event.TERMINATE_ASKED, reason, "terminate")


def when_process_died(instance: Instance, what: str) -> Ending:
    """QEMU ended by itself: a volume survives it, an instance-store root does not.  ``what`` says how it ended."""
    reason = Reason("Server.InternalError", f"Server.InternalError: {what}", "Server.InternalError")
    if instance.is_ebs:
        return Ending(Event.PROCESS_DIED, reason, "stop")
    return Ending(Event.TERMINATE_ASKED, reason, "terminate")


def when_host_restarted(instance: Instance, policy: str, now: datetime) -> Ending:
    """The host was restarted while the instance ran: it comes back, unless the ``policy`` (``start`` | ``stop``) or it says otherwise."""
    if policy == "start" and instance.auto_recovery == "default":
        code = "Server.HostRestarted"
        reason = Reason(code, f"{code}: {HOST_RESTARTED}; it is started again", _at(code, now))
        return Ending(Event.HOST_RESTARTED, reason, "boot")
    return when_process_died(instance, f"{HOST_RESTARTED}, and it is not to be started again")


def when_guest_crashed(instance: Instance, what: str, *, is_ours: bool) -> Ending:
    """The guest's kernel crashed under Xen, or (``is_ours``) what runs it failed: a volume survives it.  ``what`` says how."""
    code = "Server.InternalError" if is_ours else "Client.InternalError"
    reason = Reason(code, f"{code}: {what}", code)
    if instance.is_ebs:
        return Ending(Event.PROCESS_DIED, reason, "stop")
    return Ending(Event.TERMINATE_ASKED, reason, "terminate")


HOST_RESTARTED: Final = "The host was restarted while the instance ran"
NO_MEMORY: Final = ("Cannot allocate memory", "cannot set up guest memory")
"""What QEMU says where the host has not the memory that the guest was to have."""
DISK_FULL: Final = "Server.InsufficientVolumeCapacity"
"""The reason's code while a guest stands still because its disk cannot grow on the host's."""

_TPM_WORDS: Final = (
    "Its TPM (swtpm) ended by itself; the guest runs on without it. "
    "Reboot the instance, or stop and start it: its TPM's state is kept."
)
TPM_ENDED: Final = Reason("Server.InternalError", f"Server.InternalError: {_TPM_WORDS}")
"""A running instance's reason."""
NOT_WITHOUT_TPM: Final = (
    "its TPM (swtpm) has ended, and its machine cannot be reset without. "
    "Reboot the instance first, or ask for an image without a reboot"
)
QEMU_ON_TPM: Final = "tpm-emulator"
"""How QEMU begins what it says of a TPM; one whose TPM has ended ends itself where its guest is reset."""


_ANEW: Final = "Its TPM (swtpm) had ended by itself, so its machine is started anew for the reboot"


def when_reset_without_tpm(now: datetime) -> Ending:
    """The guest is to begin anew, and its TPM is gone: so is its QEMU, and another one with another TPM takes its place."""
    code = "Server.InternalError"
    return Ending(Event.STARTED_ANEW, Reason(code, f"{code}: {_ANEW}", _at(code, now)), "boot")


def user_initiated(event: Event, now: datetime) -> Reason:
    """The reason EC2 writes for a call of the owner; the transition reason carries the time."""
    assert event in (Event.STOP_ASKED, Event.TERMINATE_ASKED)
    code = "Client.UserInitiatedShutdown"
    return Reason(code, f"{code}: User initiated shutdown", _at("User initiated", now))


def _at(what: str, now: datetime) -> str:
    return f"{what} ({now:%Y-%m-%d %H:%M:%S} GMT)"


def boot_failed(instance: Instance, what: str) -> tuple[Event, Reason]:
    """The event and reason of a boot that could not be made; the first boot's failure ends the instance.

    So does a later one's where the root is an instance store, which can be started again but not stopped.
    """
    later = Event.START_FAILED if instance.is_ebs else Event.TERMINATE_ASKED
    event = Event.LAUNCH_FAILED if instance.boot_count == 0 else later
    is_full = any(words in what for words in NO_MEMORY)
    code = "Server.InsufficientInstanceCapacity" if is_full else "Server.InternalError"
    return event, Reason(code, f"{code}: {what}", code)
