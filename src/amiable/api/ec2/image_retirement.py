"""Deprecation, disabling, and protection from deregistration: for the owner, and each read back at once."""

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.images import check_image_id, owned_image
from amiable.database import retirement as rows
from amiable.database import sharing
from amiable.model.image import EVERYONE, Image
from amiable.model.principal import Principal
from amiable.rules import retirement
from amiable.services import Services
from amiable.wire.generated import ec2


def enable_image_deprecation(
    services: Services, principal: Principal, request: ec2.EnableImageDeprecationRequest
) -> ec2.EnableImageDeprecationResult:
    """Sets when the image is deprecated: others' lists leave it out from then on."""
    check_image_id(request.image_id)
    with services.database.write_and_answer() as c:
        image = owned_image(c, principal, request.image_id)
        moment = retirement.deprecation(image, request.deprecate_at, is_public=_is_public(c, image), now=services.now())
        raise_if_dry_run(request)
        rows.set_deprecation(c, image.id, moment)
    return ec2.EnableImageDeprecationResult(return_=True)


def disable_image_deprecation(
    services: Services, principal: Principal, request: ec2.DisableImageDeprecationRequest
) -> ec2.DisableImageDeprecationResult:
    """The image is deprecated no more, nor will be; a public one must be."""
    check_image_id(request.image_id)
    with services.database.write_and_answer() as c:
        image = owned_image(c, principal, request.image_id)
        retirement.check_deprecation_may_go(image, is_public=_is_public(c, image))
        raise_if_dry_run(request)
        rows.set_deprecation(c, image.id, None)
    return ec2.DisableImageDeprecationResult(return_=True)


def _is_public(c: Connection, image: Image) -> bool:
    return sharing.is_granted(c, image.id, EVERYONE)


def disable_image(services: Services, principal: Principal, request: ec2.DisableImageRequest) -> ec2.DisableImageResult:
    """Makes the image unlaunchable and takes all its launch permissions; EnableImage does not bring those back."""
    check_image_id(request.image_id)
    with services.database.write_and_answer() as c:
        image = owned_image(c, principal, request.image_id)
        retirement.check_may_disable(image)
        raise_if_dry_run(request)
        rows.disable(c, image.id)
    return ec2.DisableImageResult(return_=True)


def enable_image(services: Services, principal: Principal, request: ec2.EnableImageRequest) -> ec2.EnableImageResult:
    """Makes a disabled image available again, shared with nobody."""
    check_image_id(request.image_id)
    with services.database.write_and_answer() as c:
        image = owned_image(c, principal, request.image_id)
        retirement.check_may_enable(image)
        raise_if_dry_run(request)
        rows.enable(c, image.id)
    return ec2.EnableImageResult(return_=True)


def enable_image_deregistration_protection(
    services: Services, principal: Principal, request: ec2.EnableImageDeregistrationProtectionRequest
) -> ec2.EnableImageDeregistrationProtectionResult:
    """Protects the image from DeregisterImage; a cooldown that runs from before goes on."""
    check_image_id(request.image_id)
    protection = retirement.WITH_COOLDOWN if request.with_cooldown else retirement.WITHOUT_COOLDOWN
    with services.database.write_and_answer() as c:
        image = owned_image(c, principal, request.image_id)
        raise_if_dry_run(request)
        rows.set_protection(c, image.id, protection, until=retirement.protected_until(image, services.now()))
    return ec2.EnableImageDeregistrationProtectionResult(return_=protection)


def disable_image_deregistration_protection(
    services: Services, principal: Principal, request: ec2.DisableImageDeregistrationProtectionRequest
) -> ec2.DisableImageDeregistrationProtectionResult:
    """Ends the protection: at once, or after the cooldown that it was enabled with."""
    check_image_id(request.image_id)
    with services.database.write_and_answer() as c:
        image = owned_image(c, principal, request.image_id)
        raise_if_dry_run(request)
        rows.set_protection(c, image.id, None, until=retirement.protected_until(image, services.now()))
    return ec2.DisableImageDeregistrationProtectionResult(return_=retirement.UNPROTECTED)
