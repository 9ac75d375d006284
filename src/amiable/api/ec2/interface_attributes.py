"""AttachNetworkInterface, DetachNetworkInterface, ModifyNetworkInterfaceAttribute, DescribeNetworkInterfaceAttribute.

An instance has one interface, which stays in it: a second one is refused as EC2 refuses one too many, the primary one does not
come off.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.instance_types import INTERFACES_MAX
from amiable.api.ec2.interface_views import InterfaceView, attachment_of, interface_views
from amiable.api.ec2.launch_place import choose_groups
from amiable.api.ec2.listing import the_one
from amiable.api.ec2.network_interfaces import find_interface
from amiable.api.ec2.unsupported import Check, anything, only, refuse_others
from amiable.database import instances, interfaces, network
from amiable.model import ids
from amiable.model.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    NotFound,
    OperationNotPermitted,
)
from amiable.model.network import NetworkInterface
from amiable.model.network_errors import AttachmentLimitExceeded, InvalidNetworkInterfaceInUse
from amiable.model.principal import Principal
from amiable.rules.identifiers import check_form
from amiable.rules.security_group import check_text
from amiable.services import Services
from amiable.wire.generated import ec2

ATTACHING: Final[Mapping[str, Check]] = {
    "device_index": anything,
    "dry_run": anything,
    "instance_id": anything,
    "network_card_index": only(0),
    "network_interface_id": anything,
}
MODIFYING: Final[Mapping[str, Check]] = {
    "attachment": anything,
    "description": anything,
    "dry_run": anything,
    "groups": anything,
    "network_interface_id": anything,
    "source_dest_check": anything,
}
ATTRIBUTES: Final[Mapping[str, Callable[[InterfaceView], dict[str, Any]]]] = {
    "attachment": lambda v: {"attachment": attachment_of(v)},
    "description": lambda v: {"description": ec2.AttributeValue(value=v.it.description)},
    "groupSet": lambda v: {"groups": v.groups},
    "sourceDestCheck": lambda v: {"source_dest_check": ec2.AttributeBooleanValue(value=v.it.has_source_dest_check)},
    "associatePublicIpAddress": lambda v: {"associate_public_ip_address": False},
}


def attach_network_interface(
    services: Services, principal: Principal, request: ec2.AttachNetworkInterfaceRequest
) -> ec2.AttachNetworkInterfaceResult:
    """Refuses: the instance has as many interfaces as its type may have."""
    refuse_others(request, ATTACHING)
    check_form("instance", ids.INSTANCE, [request.instance_id])
    with services.database.read() as c:
        interface = find_interface(c, principal, request.network_interface_id)
        mine = instances.list_visible(c, principal.account_id, principal.region, now=services.now())
        instance = the_one("instance", ids.INSTANCE, request.instance_id, mine)
        held = interfaces.interfaces_of(c, [instance.id])[instance.id]
    if interface.attachment is not None:
        raise InvalidNetworkInterfaceInUse(interface_id=interface.id)
    if instance.zone != interface.zone:
        raise InvalidParameterCombination(
            f"The interface {interface.id} is in {interface.zone}, the instance {instance.id} in {instance.zone}."
        )
    if request.device_index in [each.attachment.device_index for each in held if each.attachment]:
        raise InvalidParameterValue(
            f"Instance '{instance.id}' already has an interface attached at device index '{request.device_index}'."
        )
    raise AttachmentLimitExceeded(
        count=len(held) + 1,
        instance_type=instance.instance_type,
        hint=f"an instance of Amiable has {INTERFACES_MAX}; name this one in RunInstances to launch with it",
    )


def detach_network_interface(
    services: Services, principal: Principal, request: ec2.DetachNetworkInterfaceRequest
) -> None:
    """Refuses: an instance's only interface is its primary one, which cannot be detached."""
    with services.database.read() as c:
        interface = _attached_by(c, principal, request.attachment_id)
    assert interface.attachment is not None
    raise OperationNotPermitted(
        f"The network interface at device index {interface.attachment.device_index} cannot be detached."
    )


def _attached_by(c: Connection, principal: Principal, attachment_id: str) -> NetworkInterface:
    check_form("network_interface_attachment", ids.NETWORK_INTERFACE_ATTACHMENT, [attachment_id])
    for each in interfaces.list_interfaces(c, principal.account_id, principal.region):
        if each.attachment is not None and each.attachment.id == attachment_id:
            return each
    raise NotFound("network_interface_attachment", [attachment_id])


def modify_network_interface_attribute(
    services: Services, principal: Principal, request: ec2.ModifyNetworkInterfaceAttributeRequest
) -> None:
    """Changes one attribute: groups, description, source and destination check, or whether it goes with its instance."""
    refuse_others(request, MODIFYING)
    asked = {
        "attachment": request.attachment,
        "description": request.description,
        "groupSet": request.groups or None,
        "sourceDestCheck": request.source_dest_check,
    }
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise InvalidParameterCombination("Fields for multiple attribute types specified: " + ", ".join(given))
    if not given:
        raise MissingParameter("No attributes specified.")
    with services.database.write_and_answer() as c:
        interface = find_interface(c, principal, request.network_interface_id)
        if request.groups:
            subnet = network.get_subnet(c, interface.subnet_id)
            assert subnet is not None, interface
            group_ids = choose_groups(c, principal, subnet, request.groups)
            raise_if_dry_run(request)
            interfaces.set_groups(c, interface, group_ids)
            return
        facts = _facts(interface, request)
        raise_if_dry_run(request)
        interfaces.set_facts(c, interface.id, **facts)


def _facts(interface: NetworkInterface, request: ec2.ModifyNetworkInterfaceAttributeRequest) -> dict[str, str | bool]:
    """The one attribute that is asked for, as columns."""
    if request.description is not None:
        text = request.description.value or ""
        check_text(text, "network interface")
        return {"description": text}
    if request.source_dest_check is not None:
        if request.source_dest_check.value is None:
            raise MissingParameter(parameter="SourceDestCheck.Value")
        return {"has_source_dest_check": request.source_dest_check.value}
    changes = request.attachment
    assert changes is not None
    refuse_others(changes, {"attachment_id": anything, "delete_on_termination": anything}, "Attachment.")
    for name, value in (
        ("AttachmentId", changes.attachment_id),
        ("DeleteOnTermination", changes.delete_on_termination),
    ):
        if value is None:
            raise MissingParameter(parameter=f"Attachment.{name}")
    assert changes.attachment_id is not None and changes.delete_on_termination is not None
    check_form("network_interface_attachment", ids.NETWORK_INTERFACE_ATTACHMENT, [changes.attachment_id])
    if interface.attachment is None or interface.attachment.id != changes.attachment_id:
        raise NotFound("network_interface_attachment", [changes.attachment_id])
    return {"delete_on_termination": changes.delete_on_termination}


def describe_network_interface_attribute(
    services: Services, principal: Principal, request: ec2.DescribeNetworkInterfaceAttributeRequest
) -> ec2.DescribeNetworkInterfaceAttributeResult:
    """One attribute of an interface."""
    if request.attribute is None:
        raise MissingParameter(parameter="Attribute")
    told = ATTRIBUTES.get(request.attribute)
    if told is None:
        raise InvalidParameterValue(
            parameter="Attribute", value=request.attribute, why=f"Expecting one of {', '.join(ATTRIBUTES)}."
        )
    with services.database.read() as c:
        interface = find_interface(c, principal, request.network_interface_id)
        (view,) = interface_views(c, principal, [interface])
    raise_if_dry_run(request)
    return ec2.DescribeNetworkInterfaceAttributeResult(network_interface_id=interface.id, **told(view))
