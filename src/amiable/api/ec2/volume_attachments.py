"""AttachVolume and DetachVolume: the row moves at once, a job moves the bytes, and a running machine's disks.

available ─▶ attaching ═ job: file into the instance's directory, hot plug ═▶ attached
attached ─▶ detaching ═ job: the guest lets go, file out of it ═▶ available
"""

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.instance_ids import find_named
from amiable.api.ec2.volume_view import attachment, find_volume
from amiable.database import instances, product_codes, volume_modifications, volumes
from amiable.model import ids
from amiable.model.errors import IncorrectState, OperationNotPermitted, UnsupportedOperation
from amiable.model.instance import Instance
from amiable.model.principal import Principal
from amiable.model.volume import AttachmentState, Volume
from amiable.model.volume_modification import ModificationState
from amiable.rules import volume as rules
from amiable.rules.identifiers import check_form
from amiable.services import Services, volume_work
from amiable.wire.generated import ec2


def attach_volume(services: Services, principal: Principal, request: ec2.AttachVolumeRequest) -> ec2.VolumeAttachment:
    """Gives an available volume to a running or stopped instance, under a device name that is free."""
    if request.ebs_card_index:
        raise UnsupportedOperation("The parameter EbsCardIndex is not supported by Amiable.")
    with services.database.write() as c:
        volume = find_volume(c, principal, request.volume_id)
        (instance,) = find_named(c, principal, [request.instance_id], now=services.now())
        rules.check_attach(volume, instance, volumes.volumes_of(c, instance.id), request.device)
        codes = product_codes.codes_of(c, volume.id)
        rules.check_codes(volume, instance, has_codes=bool(codes))
        _check_modification(c, volume)
        raise_if_dry_run(request)
        volumes.attach_volume(c, volume.id, instance.id, request.device, now=services.now())
        product_codes.inherit_codes(c, instance.id, source_ids=[volume.id])
        attached = _again(c, volume)
        volume_work.enqueue(c, services, attached, volume_work.KIND_OF[AttachmentState.ATTACHING])
    services.wake()
    return attachment(attached)


def _check_modification(c: Connection, volume: Volume) -> None:
    before = volume_modifications.list_modifications(c, volume.id)
    if before and before[-1].state is ModificationState.MODIFYING:
        raise OperationNotPermitted(
            f"Cannot attach volume {volume.id} when it is in modification state: {before[-1].state.upper()}"
        )


def detach_volume(services: Services, principal: Principal, request: ec2.DetachVolumeRequest) -> ec2.VolumeAttachment:
    """Takes a volume from its instance; a root only from a stopped one.  No subscription is asked for."""
    check_form("instance", ids.INSTANCE, [request.instance_id] if request.instance_id else None)
    with services.database.write() as c:
        volume = find_volume(c, principal, request.volume_id)
        instance = _instance_of(c, volume)
        root = rules.root_of(volumes.volumes_of(c, instance.id), instance.root_device_name)
        is_root = root is not None and root.id == volume.id
        rules.check_detach(volume, instance, is_root=is_root, instance_id=request.instance_id, device=request.device)
        raise_if_dry_run(request)
        volumes.set_attachment(c, volume.id, AttachmentState.DETACHING)
        kind = volume_work.KIND_OF[AttachmentState.DETACHING]
        volume_work.enqueue(c, services, volume, kind, force=bool(request.force))
        leaving = _again(c, volume)
    services.wake()
    return attachment(leaving)


def _instance_of(c: Connection, volume: Volume) -> Instance:
    found = None if volume.instance_id is None else instances.get_instance(c, volume.instance_id)
    if found is None:
        raise IncorrectState(f"Volume '{volume.id}' is in the '{volume.state}' state.")
    return found


def _again(c: Connection, volume: Volume) -> Volume:
    found = volumes.get_volume(c, volume.id)
    assert found is not None
    return found
