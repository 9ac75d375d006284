"""DescribeImageAttribute, ModifyImageAttribute and ResetImageAttribute.

What an image says of its hardware can be read and is fixed at registration, but for imdsSupport, which can be set once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2 import image_sharing
from amiable.api.ec2.images import check_image_id, owned_image
from amiable.api.ec2.product_codes import product_codes
from amiable.database import images
from amiable.database.retirement import set_deprecation
from amiable.model.errors import AuthFailure, MissingParameter
from amiable.model.image import EVERYONE, Image, ImageType
from amiable.model.principal import Principal
from amiable.rules import attributes, permission
from amiable.rules.attributes import Asked
from amiable.rules.image_filters import spell_time
from amiable.rules.retirement import UNPROTECTED, deprecation_when_public
from amiable.rules.sharing import Permission
from amiable.services import Services, content_digests
from amiable.services.allowed_images import check_allowed
from amiable.wire.generated import ec2


def _value(text: str | None) -> ec2.AttributeValue:
    return ec2.AttributeValue(value=text)


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else spell_time(moment)


READERS: Final[Mapping[str, Callable[[Image], dict[str, Any]]]] = {
    "description": lambda image: {"description": _value(image.description)},
    "kernel": lambda image: {"kernel_id": _value(image.kernel_id)},
    "ramdisk": lambda image: {"ramdisk_id": _value(image.ramdisk_id)},
    "sriovNetSupport": lambda image: {"sriov_net_support": _value(image.sriov_net_support)},
    "bootMode": lambda image: {"boot_mode": _value(image.boot_mode)},
    "tpmSupport": lambda image: {"tpm_support": _value(image.tpm_support)},
    "imdsSupport": lambda image: {"imds_support": _value(image.imds_support)},
    "productCodes": lambda image: {"product_codes": product_codes(image.product_codes)},
    "uefiData": lambda image: {"uefi_data": _value(image.uefi_data)},
    "lastLaunchedTime": lambda image: {"last_launched_time": _value(_instant(image.last_launched_at))},
    "deregistrationProtection": lambda image: {
        "deregistration_protection": _value(image.deregistration_protection or UNPROTECTED)
    },
}
"""Attribute → its element of the answer; launchPermission is read apart, it is not of the image's own row."""
OPEN: Final = ("productCodes",)
"""What not only the owner may read."""


def describe_image_attribute(
    services: Services, principal: Principal, request: ec2.DescribeImageAttributeRequest
) -> ec2.ImageAttribute:
    """One attribute, for the owner; product codes for whoever may see the image."""
    check_image_id(request.image_id)
    attributes.check_attribute(request.attribute)
    if request.attribute == "blockDeviceMapping":
        raise AuthFailure("Unauthorized attempt to access restricted resource: blockDeviceMapping. Use DescribeImages.")
    with services.database.read() as c:
        image = _readable_image(services, c, principal, request)
        grantees = images.grantees(c, image.id) if request.attribute == "launchPermission" else []
    raise_if_dry_run(request)
    if request.attribute == "launchPermission":
        permissions = [image_sharing.launch_permission(each) for each in grantees]
        return ec2.ImageAttribute(image_id=image.id, launch_permissions=permissions)
    return ec2.ImageAttribute(image_id=image.id, **READERS[request.attribute](image))


def _readable_image(
    services: Services, c: Connection, principal: Principal, request: ec2.DescribeImageAttributeRequest
) -> Image:
    image = images.get(c, principal.region, request.image_id, viewer=principal.account_id)
    if image is not None and permission.may_see(image, principal.account_id):
        check_allowed(services, c, principal, image)
        if request.attribute in OPEN and image.deregistered_at is None:
            return image
    return owned_image(c, principal, request.image_id)


def modify_image_attribute(services: Services, principal: Principal, request: ec2.ModifyImageAttributeRequest) -> None:
    """Changes one attribute: all that the request says of it, or, refused, nothing."""
    check_image_id(request.image_id)
    change = attributes.plan_change(_asked(request))
    with services.database.write_and_answer() as c:
        image = owned_image(c, principal, request.image_id)
        image_sharing.check_grants(services, c, image, change.grants)
        raise_if_dry_run(request)
        if change.description is not None:
            images.describe(c, image.id, change.description)
        if change.imds_support is not None:
            images.set_imds_support(c, image.id, change.imds_support)
            content_digests.refresh(c, replace(image, imds_support=change.imds_support))
        images.change_grants(c, image.id, add=sorted(change.grants.add), remove=sorted(change.grants.remove))
        if EVERYONE in change.grants.add and image.image_type is ImageType.MACHINE:
            set_deprecation(c, image.id, deprecation_when_public(image))


def reset_image_attribute(services: Services, principal: Principal, request: ec2.ResetImageAttributeRequest) -> None:
    """Makes the image private: every launch permission goes, of accounts, organizations, units and ``all``."""
    check_image_id(request.image_id)
    attributes.check_resettable(request.attribute)
    with services.database.write_and_answer() as c:
        image = owned_image(c, principal, request.image_id)
        raise_if_dry_run(request)
        images.change_grants(c, image.id, add=(), remove=images.grantees(c, image.id))


def _asked(request: ec2.ModifyImageAttributeRequest) -> Asked:
    structured = request.launch_permission
    description = request.description
    imds_support = request.imds_support
    for name, given in (("Description", description), ("ImdsSupport", imds_support)):
        if given is not None and given.value is None:
            raise MissingParameter(parameter=f"{name}.Value")
    return Asked(
        attribute=request.attribute,
        operation_type=request.operation_type,
        add=_permissions(structured.add if structured else None),
        remove=_permissions(structured.remove if structured else None),
        flat=(
            *(Permission(user_id=user) for user in request.user_ids or []),
            *(Permission(group=group) for group in request.user_groups or []),
            *(Permission(organization_arn=arn) for arn in request.organization_arns or []),
            *(Permission(organizational_unit_arn=arn) for arn in request.organizational_unit_arns or []),
        ),
        description=description.value if description is not None else None,
        value=request.value,
        imds_support=imds_support.value if imds_support is not None else None,
        product_codes=tuple(request.product_codes or ()),
    )


def _permissions(items: Sequence[ec2.LaunchPermission] | None) -> tuple[Permission, ...]:
    return tuple(
        Permission(item.user_id, item.group, item.organization_arn, item.organizational_unit_arn)
        for item in items or []
    )
