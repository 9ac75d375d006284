"""What an instance's firmware holds: GetInstanceUefiData and GetInstanceTpmEkPub.

Both are read from the instance's directory, whether it runs or is stopped; a directory belongs to the guest's QEMU, so what lies there
is checked like any other input.
"""

import base64

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.instance_ids import find_named
from amiable.model.errors import UnsupportedOperation
from amiable.model.instance import Instance
from amiable.model.instance_errors import InstanceTpmEkPubNotFound
from amiable.model.principal import Principal
from amiable.rules.hardware import starts_by_uefi
from amiable.rules.tpm_commands import der_of
from amiable.rules.uefi_data import UnreadableStore
from amiable.services import Services
from amiable.vm import firmware, tpm
from amiable.vm.directory import open_directory
from amiable.wire.generated import ec2


def get_instance_uefi_data(
    services: Services, principal: Principal, request: ec2.GetInstanceUefiDataRequest
) -> ec2.GetInstanceUefiDataResult:
    """The instance's non-volatile UEFI variables as they are now, as RegisterImage takes them."""
    instance = _find(services, principal, request.instance_id)
    if not starts_by_uefi(instance):
        raise UnsupportedOperation(
            f"The instance '{instance.id}' does not start by UEFI: its boot mode is {instance.boot_mode}.",
            hint="register its image with BootMode uefi or uefi-preferred",
        )
    try:
        found = firmware.uefi_data_of(services.data, instance.id)
    except UnreadableStore as error:
        raise UnsupportedOperation(f"The UEFI variables of '{instance.id}' cannot be read. {error}") from None
    if found is None:
        raise UnsupportedOperation(
            f"The instance '{instance.id}' has no UEFI variables: it is {instance.state}.",
            hint="they are made at its first boot and go when it is terminated",
        )
    raise_if_dry_run(request)
    return ec2.GetInstanceUefiDataResult(instance_id=instance.id, uefi_data=found)


def get_instance_tpm_ek_pub(
    services: Services, principal: Principal, request: ec2.GetInstanceTpmEkPubRequest
) -> ec2.GetInstanceTpmEkPubResult:
    """The public part of one of the TPM's endorsement keys, in base64."""
    instance = _find(services, principal, request.instance_id)
    public = _tpm_keys(services, instance).get(request.key_type)
    if public is None:
        raise InstanceTpmEkPubNotFound(instance_id=instance.id)
    raise_if_dry_run(request)
    body = public if request.key_format == "tpmt" else der_of(request.key_type, public)
    return ec2.GetInstanceTpmEkPubResult(
        instance_id=instance.id,
        key_type=request.key_type,
        key_format=request.key_format,
        key_value=base64.b64encode(body).decode(),
    )


def _tpm_keys(services: Services, instance: Instance) -> dict[str, bytes]:
    if instance.tpm_support is None:
        return {}
    try:
        with open_directory(services.data, instance.id) as directory:
            return tpm.read_keys(directory) or {}
    except OSError:
        return {}


def _find(services: Services, principal: Principal, instance_id: str) -> Instance:
    with services.database.read() as c:
        return find_named(c, principal, [instance_id], now=services.now())[0]
