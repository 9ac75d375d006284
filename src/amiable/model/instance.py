"""One launched machine: what it was made of, where it lives, and the state it is in.

States and their numbers are EC2's (``InstanceState.Code``).  How a state follows another is ``rules/lifecycle``.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from amiable.model.product import ProductCode


class State(StrEnum):
    """EC2's instance states."""

    PENDING = "pending"
    RUNNING = "running"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"
    STOPPING = "stopping"
    STOPPED = "stopped"


CODES: Final[dict[State, int]] = {
    State.PENDING: 0,
    State.RUNNING: 16,
    State.SHUTTING_DOWN: 32,
    State.TERMINATED: 48,
    State.STOPPING: 64,
    State.STOPPED: 80,
}

TERMINATED_VISIBLE: Final = timedelta(hours=1)
"""How long DescribeInstances still lists a terminated instance."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an instance is in its state: EC2's ``StateReason``, and ``StateTransitionReason`` (``''`` when nothing to say)."""

    code: str
    message: str
    transition: str = ""


@dataclass(frozen=True, slots=True)
class MetadataOptions:
    """How the metadata service answers this instance."""

    http_tokens: str  # optional | required
    http_endpoint: str  # enabled | disabled
    http_hop_limit: int
    instance_metadata_tags: str  # enabled | disabled
    http_protocol_ipv6: str = "disabled"  # recorded: no guest has an IPv6 address


@dataclass(frozen=True, slots=True)
class Instance:
    """One row of the facts; ``host`` is the machine that runs it."""

    id: str
    account_id: str
    region: str
    zone: str
    reservation_id: str
    launch_index: int
    client_token: str | None
    image_id: str
    state: State
    instance_type: str
    architecture: str
    virtualization_type: str
    root_device_type: str
    root_device_name: str | None
    boot_mode: str
    hardware_profile: str
    hardware_profile_why: str
    kernel_id: str | None
    ramdisk_id: str | None
    key_name: str | None
    public_key: str | None
    user_data: bytes | None
    vpc_id: str
    subnet_id: str
    security_group_ids: tuple[str, ...]
    private_ip: str
    mac: str
    interface_id: str
    metadata: MetadataOptions
    shutdown_behavior: str  # stop | terminate
    product_codes: tuple[ProductCode, ...]
    host: str | None
    launched_at: datetime
    state_reason_code: str | None = None
    state_reason_message: str | None = None
    transition_reason: str = ""
    boot_count: int = 0
    reached_metadata_at: datetime | None = None
    terminated_at: datetime | None = None
    rebooted_at: datetime | None = None
    created_at: datetime | None = None  # the first launch
    state_changed_at: datetime | None = None
    impaired_at: datetime | None = None  # since when its guest stands still
    disable_api_termination: bool = False
    disable_api_stop: bool = False
    source_dest_check: bool = True
    ebs_optimized: bool = False
    ena_support: bool = False
    sriov_net_support: str | None = None  # simple
    cpu_credits: str | None = None  # standard | unlimited, of burstable types
    detailed_monitoring: bool = False  # recorded: nothing is measured
    auto_recovery: str = "default"  # default | disabled: whether the end of the host may bring it back
    platform: str | None = None  # windows
    image_boot_mode: str | None = None  # as the image had it; ``boot_mode`` is what came of it
    tpm_support: str | None = None  # v2.0: it has a TPM of its own

    @property
    def began_at(self) -> datetime:
        """When the guest was last started or rebooted: since then its first words are awaited."""
        return self.rebooted_at or self.launched_at

    @property
    def is_ebs(self) -> bool:
        """Whether the root is a volume, which survives a stop."""
        return self.root_device_type == "ebs"


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one RunInstances call made."""

    id: str
    account_id: str
    region: str
    created_at: datetime
