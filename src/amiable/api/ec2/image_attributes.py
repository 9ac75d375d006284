"""DescribeImageAttribute and ModifyImageAttribute: description and launch permissions.

What an image says of its hardware can be read; Amiable changes none of it after registration.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2 import image_sharing
from amiable.api.ec2.images import check_image_id, owned_image
from amiable.api.ec2.product_codes import product_codes
from amiable.database import images
from amiable.model.errors import AuthFailure, MissingParameter
from amiable.model.image import Image
from amiable.model.principal import Principal
from amiable.rules import attributes
from amiable.rules.attributes import Asked
from amiable.rules.sharing import Permission
from amiable.services import Services
from amiable.wire.generated import ec2


def _value(text: str | None) -> ec2.AttributeValue:
    return ec2.AttributeValue(value=text)


READERS: Final[Mapping[str, Callable[[Image], dict[str, Any]]]] = {
    "description": lambda image: {"description": _value(image.description)},
    "kernel": lambda image: {"kernel_id": _value(image.kernel_id)},
    "ramdisk": lambda image: {"ramdisk_id": _value(image.ramdisk_id)},
    "sriovNetSupport": lambda image: {"sriov_net_support": _value(image.sriov_net_support)},
    "bootMode": lambda image: {"boot_mode": _value(image.boot_mode)},
    "tpmSupport": lambda image: {"tpm_support": _value(image.tpm_support)},
    "imdsSupport": lambda image: {"imds_support": _value(image.imds_support)},
    "productCodes": lambda image: {"product_codes": product_codes(image.product_codes)},
}
"""Attribute → its element of the answer; launchPermission is read apart, it is not of the image's own row."""


def describe_image_attribute(
    services: Services, principal: Principal, request: ec2.DescribeImageAttributeRequest
) -> ec2.ImageAttribute:
    """One attribute, for the owner."""
    check_image_id(request.image_id)
    if request.attribute == "blockDeviceMapping":
        raise AuthFailure("Unauthorized attempt to access restricted resource: blockDeviceMapping. Use DescribeImages.")
    attributes.check_attribute(request.attribute)
    with services.database.read() as c:
        image = owned_image(c, principal, request.image_id)
        grantees = images.grantees(c, image.id) if request.attribute == "launchPermission" else []
    raise_if_dry_run(request)
    if request.attribute == "launchPermission":
        permissions = [image_sharing.launch_permission(each) for each in grantees]
        return ec2.ImageAttribute(image_id=image.id, launch_permissions=permissions)
    return ec2.ImageAttribute(image_id=image.id, **READERS[request.attribute](image))


def modify_image_attribute(services: Services, principal: Principal, request: ec2.ModifyImageAttributeRequest) -> None:
    """Changes the description, or whom the image is shared with: all that the request names, or, refused, nothing."""
    check_image_id(request.image_id)
    change = attributes.plan_change(_asked(request))
    with services.database.write() as c:
        image = owned_image(c, principal, request.image_id)
        image_sharing.check_grants(services, c, image, change.grants)
        raise_if_dry_run(request)
        if change.description is not None:
            images.describe(c, image.id, change.description)
        images.change_grants(c, image.id, add=sorted(change.grants.add), remove=sorted(change.grants.remove))


def _asked(request: ec2.ModifyImageAttributeRequest) -> Asked:
    structured = request.launch_permission
    description = request.description
    if description is not None and description.value is None:
        raise MissingParameter(parameter="Description.Value")
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
        other="imdsSupport" if request.imds_support is not None else "productCodes" if request.product_codes else None,
    )


def _permissions(items: Sequence[ec2.LaunchPermission] | None) -> tuple[Permission, ...]:
    return tuple(
        Permission(item.user_id, item.group, item.organization_arn, item.organizational_unit_arn)
        for item in items or []
    )
