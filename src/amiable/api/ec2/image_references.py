"""DescribeImageReferences: which of the caller's resources use an image."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.images import check_image_id
from amiable.api.paging import PageBounds, open_page
from amiable.database import images, launch_templates, lineage, parameters
from amiable.model.errors import NotFound
from amiable.model.principal import Principal
from amiable.model.usage_report import INSTANCE, LAUNCH_TEMPLATE, PARAMETER
from amiable.rules import permission
from amiable.rules.reference_type import Named, Wanted, wanted_types
from amiable.services import Services
from amiable.wire.generated import ec2

PAGE_SIZE_MIN: Final = 5


def describe_image_references(
    services: Services, principal: Principal, request: ec2.DescribeImageReferencesRequest
) -> ec2.DescribeImageReferencesResult:
    """The caller's resources that use the images, by image, type and ARN.

    An image may be anybody's and may be gone: what refers to it still does.
    """
    for image_id in request.image_ids:
        check_image_id(image_id)
    image_ids = list(dict.fromkeys(request.image_ids))
    named = [_named(each) for each in request.resource_types or []]
    wanted = wanted_types(named, include_all=bool(request.include_all_resource_types))
    page = open_page(services, principal, request, PageBounds(size_min=PAGE_SIZE_MIN))
    with services.database.read() as c:
        found = _references(services, c, principal, image_ids, wanted)
        _check_known(services, c, principal, image_ids)
    raise_if_dry_run(request)
    found.sort(key=_page_key)
    shown, token = page.cut(found, _page_key)
    return ec2.DescribeImageReferencesResult(image_references=shown, next_token=token)


def _named(it: ec2.ResourceTypeRequest) -> Named:
    options = [(option.option_name, option.option_values or []) for option in it.resource_type_options or []]
    return Named(it.resource_type, options)


def _references(
    services: Services, c: Connection, principal: Principal, image_ids: Sequence[str], wanted: Mapping[str, Wanted]
) -> list[ec2.ImageReference]:
    found: list[ec2.ImageReference] = []
    if (instances := wanted.get(INSTANCE)) is not None:
        for use in lineage.uses(c, principal.account_id, principal.region, image_ids, now=services.now()):
            if use.state in instances.states:
                arn = f"arn:aws:ec2:{principal.region}:{principal.account_id}:instance/{use.instance_id}"
                found.append(ec2.ImageReference(image_id=use.image_id, resource_type=INSTANCE, arn=arn))
    if PARAMETER in wanted:
        for parameter in parameters.pointing_at(c, image_ids, principal.region):
            if parameter.account_id == principal.account_id:
                reference = ec2.ImageReference(image_id=parameter.value, resource_type=PARAMETER, arn=parameter.arn)
                found.append(reference)
    if (templates := wanted.get(LAUNCH_TEMPLATE)) is not None:
        for template in launch_templates.uses(c, principal.region, image_ids, depth=templates.version_depth):
            if template.account_id == principal.account_id:
                arn = f"arn:aws:ec2:{principal.region}:{principal.account_id}:launch-template/{template.template_id}"
                found.append(ec2.ImageReference(image_id=template.image, resource_type=LAUNCH_TEMPLATE, arn=arn))
    return found


def _check_known(services: Services, c: Connection, principal: Principal, image_ids: Sequence[str]) -> None:
    """Refuses ids that the caller neither sees, nor owned, nor uses in any way: all of them are named."""
    unseen = []
    for image_id in image_ids:
        image = images.get(c, principal.region, image_id, viewer=principal.account_id)
        if image is None or not permission.may_see(image, principal.account_id):
            unseen.append(image_id)
    uses = _references(services, c, principal, unseen, wanted_types([], include_all=True)) if unseen else []
    used = {reference.image_id for reference in uses}
    missing = [image_id for image_id in unseen if image_id not in used]
    if missing:
        raise NotFound("image", missing)


def _page_key(it: ec2.ImageReference) -> str:
    return f"{it.image_id}\0{it.resource_type}\0{it.arn}"
