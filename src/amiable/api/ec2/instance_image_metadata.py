"""DescribeInstanceImageMetadata: what is known of the images that the caller's instances were launched from.

The image may be deprecated, deregistered, private by now, or not allowed: its facts are told all the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2 import views
from amiable.api.ec2.describe_images import watermark_element
from amiable.api.ec2.instance_filters import spell_moment
from amiable.api.ec2.placement import zones_of
from amiable.api.ec2.tags import parse_filters, tag_set
from amiable.api.ec2.views import View
from amiable.api.paging import open_page
from amiable.database import allowed_images as allowed_rows
from amiable.database import images, instances
from amiable.model.allowed_images import AllowedImagesState
from amiable.model.errors import InvalidParameterValue, NotFound
from amiable.model.image import Image, ImageState
from amiable.model.instance import Instance
from amiable.model.principal import Principal
from amiable.rules import allowed_images, filters
from amiable.rules.filters import boolean
from amiable.rules.image_filters import spell_time
from amiable.services import Services
from amiable.wire.generated import ec2

INSTANCE_IDS_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Described:
    """An instance with its image; ``image`` is None where the registry has never known it."""

    view: View
    zone_id: str | None
    image: Image | None
    is_allowed: bool

    @property
    def instance(self) -> Instance:
        """The instance itself."""
        return self.view.instance


FIELDS: Final[Mapping[str, filters.Field[Described]]] = {
    "availability-zone": lambda it: (it.instance.zone,),
    "image-allowed": lambda it: (boolean(it.is_allowed),) if it.image else (),
    "instance-id": lambda it: (it.instance.id,),
    "instance-state-name": lambda it: (it.instance.state,),
    "instance-type": lambda it: (it.instance.instance_type,),
    "launch-time": lambda it: (spell_moment(it.instance.launched_at),),
    "owner-alias": lambda it: (it.image.owner_alias,) if it.image else (),
    "owner-id": lambda it: (it.image.account_id,) if it.image else (),
    "zone-id": lambda it: (it.zone_id,),
}


def describe_instance_image_metadata(
    services: Services, principal: Principal, request: ec2.DescribeInstanceImageMetadataRequest
) -> ec2.DescribeInstanceImageMetadataResult:
    """The caller's instances, each with its image; terminated ones for an hour.

    Where the account's allowed images settings are disabled, every image is allowed.
    """
    wanted = filters.predicate(parse_filters(request.filters), FIELDS, tags=lambda it: it.view.tags)
    page = open_page(services, principal, request)
    with services.database.read() as c:
        found = _named(c, principal, request.instance_ids, now=services.now())
        described = _describe(services, c, principal, found)
    raise_if_dry_run(request)
    chosen = sorted((it for it in described if wanted(it)), key=_page_key)
    shown, token = page.cut(chosen, _page_key)
    elements = [_element(it) for it in shown]
    return ec2.DescribeInstanceImageMetadataResult(instance_image_metadata=elements, next_token=token)


def _named(c: Connection, principal: Principal, instance_ids: Sequence[str] | None, *, now: datetime) -> list[Instance]:
    """The instances of the ids, or all; whatever is no id of the caller's instances is NotFound, malformed ones too."""
    wanted = list(dict.fromkeys(instance_ids or []))
    if len(wanted) > INSTANCE_IDS_MAX:
        raise InvalidParameterValue(
            f"A request may name {INSTANCE_IDS_MAX} instances at most; this one names {len(wanted)}."
        )
    found = instances.list_visible(c, principal.account_id, principal.region, now=now, ids=wanted)
    missing = sorted(set(wanted) - {each.id for each in found}, key=wanted.index)
    if missing:
        raise NotFound("instance", missing)
    return found


def _describe(services: Services, c: Connection, principal: Principal, found: Sequence[Instance]) -> list[Described]:
    settings, now = allowed_rows.find(c, principal.account_id, principal.region), services.now()
    zones = {zone.name: zone.id for zone in zones_of(services, principal.region)}
    known: dict[str, Image | None] = {}
    for image_id in {each.image_id for each in found}:
        known[image_id] = images.get(c, principal.region, image_id, viewer=principal.account_id)
    described = []
    for view in views.views_of(c, principal, found):
        image = known[view.instance.image_id]
        allowed = image is None or allowed_images.is_allowed(settings, image, principal.account_id, now)
        is_off = settings.state is AllowedImagesState.DISABLED
        described.append(Described(view, zones.get(view.instance.zone), image, allowed or is_off))
    return described


def _page_key(it: Described) -> str:
    return it.instance.id


def _element(it: Described) -> ec2.InstanceImageMetadata:
    instance = it.instance
    return ec2.InstanceImageMetadata(
        instance_id=instance.id,
        instance_type=instance.instance_type,
        launch_time=instance.launched_at,
        availability_zone=instance.zone,
        zone_id=it.zone_id,
        state=views.instance_state(instance.state),
        owner_id=instance.account_id,
        tags=tag_set(it.view.tags),
        image_metadata=_image(instance, it.image, is_allowed=it.is_allowed),
    )


def _image(instance: Instance, image: Image | None, *, is_allowed: bool) -> ec2.ImageMetadata:
    if image is None:
        return ec2.ImageMetadata(image_id=instance.image_id)
    gone = image.state in (ImageState.BINNED, ImageState.DEREGISTERED)
    return ec2.ImageMetadata(
        image_id=image.id,
        name=image.name,
        owner_id=image.account_id,
        state=ImageState.DEREGISTERED if gone else image.state,
        image_owner_alias=image.owner_alias,
        creation_date=spell_time(image.created_at),
        deprecation_time=None if image.deprecation_at is None else spell_time(image.deprecation_at),
        image_allowed=is_allowed,
        is_public=image.is_public,
        image_watermarks=[watermark_element(mark) for mark in image.watermarks] or None,
    )
