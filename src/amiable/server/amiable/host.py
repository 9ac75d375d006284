"""The host, the bundling certificate, and what EC2 has no field for of an instance."""

from typing import Final

from amiable.api import amiable
from amiable.server.amiable.calls import Answer, Routes
from amiable.server.contracts import Authenticated
from amiable.services import Services


def _bundling_certificate(services: Services, _request: Authenticated, _id: str, _body: bytes) -> Answer:
    return {"Certificate": services.installation.bundling_pem}


def _host(services: Services, _request: Authenticated, _id: str, _body: bytes) -> Answer:
    facts = amiable.host_facts(services)
    return {
        "Version": facts.version,
        "Data": facts.data,
        "FreeBytes": facts.free_bytes,
        "StoredBytes": facts.stored_bytes,
        "ReclaimableBytes": facts.reclaimable_bytes,
        "Accelerator": facts.accelerator.kind.value,
        "AcceleratorWords": facts.accelerator.words,
        "Qemu": facts.qemu,
        "QemuInstalled": facts.is_qemu_installed,
        "Network": facts.network.kind.value,
        "NetworkWords": facts.network.words,
        "HostRoutes": [
            {"VpcId": route.vpc_id, "CidrBlock": route.subnet, "IsMissing": bool(route.why_not), "Words": route.words}
            for route in facts.host_routes
        ],
        "Jobs": facts.jobs,
    }


def _hardware(services: Services, request: Authenticated, instance_id: str, _body: bytes) -> Answer:
    found = amiable.hardware_of(services, request.principal, instance_id)
    return {"Profile": found.hardware_profile, "Why": found.hardware_profile_why, "State": found.state.value}


def _ssh_host_keys(services: Services, request: Authenticated, instance_id: str, _body: bytes) -> Answer:
    return {"Fingerprints": amiable.ssh_host_keys(services, request.principal, instance_id)}


ROUTES: Final[Routes] = {
    ("GET",    "bundling-certificate"): _bundling_certificate,
    ("GET",    "host"): _host,
    ("GET",    "instances/{}/hardware"): _hardware,
    ("GET",    "instances/{}/ssh-host-keys"): _ssh_host_keys,
}  # fmt: skip
