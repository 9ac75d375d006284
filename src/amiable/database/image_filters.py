"""The filters of DescribeImages in SQL: each a condition on the row of ``image``, so that a list reads only what it shows.

What a filter means in values says ``rules/image_filters``; a law holds the two against each other.  Conditions on what an image
has one of look at its row; on what it has several of, at rows beside it: by the image's key where the pattern is likely to be met by
many, through an index on the text where it is likely to be met by few.

Source: EC2 API Reference, DescribeImages, Filter.N.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, String, and_, case, cast, exists, false, func, literal, or_, select, true

from amiable.database.schema import account as A
from amiable.database.schema import image as I
from amiable.database.schema import image_device as D
from amiable.database.schema import image_instance_type as X
from amiable.database.schema import image_watermark as W
from amiable.database.schema import launch_permission as P
from amiable.database.schema import parameter as Q
from amiable.database.schema import resource_product_code as C
from amiable.database.schema import tag as T
from amiable.database.text_match import matches, spelled
from amiable.model.image import EVERYONE, ImageType
from amiable.rules.filters import Filter, boolean, matcher
from amiable.rules.image_filters import HYPERVISOR


@dataclass(frozen=True, slots=True)
class Viewpoint:
    """Who asks, and where; ``allowed`` is the condition of its allowed images settings, None where it has none."""

    viewer: str
    region: str
    allowed: ColumnElement[bool] | None = None


Condition = Callable[[Sequence[str], Viewpoint], ColumnElement[bool]]


def conditions(wanted: Sequence[Filter], viewpoint: Viewpoint) -> list[ColumnElement[bool]]:
    """One condition a filter; the names are known to be filters of images."""
    return [_condition(each, viewpoint) for each in wanted]


def _condition(wanted: Filter, viewpoint: Viewpoint) -> ColumnElement[bool]:
    if wanted.name in CONDITIONS:
        return CONDITIONS[wanted.name](wanted.values, viewpoint)
    kind, _, key = wanted.name.partition(":")
    assert kind == "tag" and key, wanted.name
    return _tagged(viewpoint, and_(T.c.key == key, matches(T.c.value, wanted.values)))


def _text(column: ColumnElement[Any], *, is_indexed: bool = False) -> Condition:
    return lambda values, _: matches(column, values, is_indexed=is_indexed)


def _constant(value: str) -> Condition:
    return lambda values, _: true() if matcher(values)(value) else false()


def _never(_values: Sequence[str], _viewpoint: Viewpoint) -> ColumnElement[bool]:
    return false()


def _truth(test: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
    """Whether the truth value's spelling matches; an absent one never does."""
    is_meant = matcher(values)
    meant = [truth for truth in (True, False) if is_meant(str(boolean(truth)))]
    return or_(false(), *(test.is_(truth) for truth in meant))


def _boolean(column: ColumnElement[Any]) -> Condition:
    return lambda values, _: _truth(column, values)


def _of_machines(condition: Condition) -> Condition:
    """For what kernels and ramdisks lack."""
    return lambda values, viewpoint: and_(I.c.image_type == ImageType.MACHINE, condition(values, viewpoint))


def _of_owner(condition: Condition) -> Condition:
    """For what only the owner may know: for anybody else the image lacks it."""
    return lambda values, viewpoint: and_(I.c.account_id == viewpoint.viewer, condition(values, viewpoint))


def _beside(table: Any, condition: Condition) -> Condition:
    """Whether a row of ``table`` for the image meets the condition."""
    return lambda values, viewpoint: exists(
        select(literal(1)).select_from(table).where(table.c.image_id == I.c.id, condition(values, viewpoint))
    ).correlate(I)


def _among(image_id: ColumnElement[Any], condition: Condition) -> Condition:
    """The same, by those rows of a table that meet it: for texts that few rows have."""
    return lambda values, viewpoint: I.c.id.in_(select(image_id).where(condition(values, viewpoint)))


def _tagged(viewpoint: Viewpoint, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """The viewer's own tags in the region."""
    mine = and_(T.c.account_id == viewpoint.viewer, T.c.region == viewpoint.region, condition)
    return I.c.id.in_(select(T.c.resource_id).where(mine))


def _is_public(values: Sequence[str], _viewpoint: Viewpoint) -> ColumnElement[bool]:
    public = exists(select(literal(1)).where(P.c.image_id == I.c.id, P.c.grantee == EVERYONE)).correlate(I)
    return _truth(case((public, True), else_=False), values)


def _is_allowed(values: Sequence[str], viewpoint: Viewpoint) -> ColumnElement[bool]:
    if viewpoint.allowed is None:
        return false()
    return _truth(case((viewpoint.allowed, True), else_=False), values)


def _types(kind: str) -> Condition:
    return _beside(X, lambda values, _: and_(X.c.kind == kind, matches(X.c.pattern, values)))


def _reason_message(values: Sequence[str], _viewpoint: Viewpoint) -> ColumnElement[bool]:
    return and_(I.c.state_reason_code.is_not(None), matches(func.coalesce(I.c.state_reason_message, ""), values))


_OWNER_ALIAS: Final = select(A.c.owner_alias).where(A.c.id == I.c.account_id).correlate(I).scalar_subquery()

CONDITIONS: Final[Mapping[str, Condition]] = {
    "architecture": _text(I.c.architecture),
    "block-device-mapping.delete-on-termination": _beside(D, _boolean(D.c.delete_on_termination)),
    "block-device-mapping.device-name": _beside(D, _text(D.c.device_name)),
    "block-device-mapping.encrypted": _beside(D, _boolean(D.c.encrypted)),
    "block-device-mapping.snapshot-id": _among(D.c.image_id, _text(D.c.snapshot_id, is_indexed=True)),
    "block-device-mapping.volume-size": _beside(D, _text(cast(D.c.size_gib, String))),
    "block-device-mapping.volume-type": _beside(D, _text(D.c.volume_type)),
    "boot-mode": _text(I.c.boot_mode),
    "creation-date": _text(spelled(I.c.created_at, "Z")),
    "description": _text(I.c.description),
    "ena-support": _of_machines(_boolean(I.c.ena_support)),
    "free-tier-eligible": _never,
    "hypervisor": _constant(HYPERVISOR),
    "image-allowed": _is_allowed,
    "image-id": _text(I.c.id, is_indexed=True),
    "image-type": _text(I.c.image_type),
    "image-watermark.source-image-creation-time": _beside(W, _text(spelled(W.c.source_image_created_at, "000+00:00"))),
    "image-watermark.source-image-id": _beside(W, _text(W.c.source_image_id)),
    "image-watermark.source-image-region": _beside(W, _text(W.c.source_image_region)),
    "image-watermark.watermark-creation-time": _beside(W, _text(spelled(W.c.created_at, "000+00:00"))),
    "image-watermark.watermark-key": _among(W.c.image_id, _text(W.c.key, is_indexed=True)),
    "instance-type-specification.supported-instance-type": _types("supported"),
    "instance-type-specification.unsupported-instance-type": _types("unsupported"),
    "is-public": _is_public,
    "kernel-id": _text(I.c.kernel_id),
    "manifest-location": _text(I.c.location),
    "name": _text(I.c.name, is_indexed=True),
    "owner-alias": lambda values, _: matches(_OWNER_ALIAS, values),
    "owner-id": _text(I.c.account_id),
    "platform": _text(I.c.platform),
    "product-code": _among(C.c.resource_id, _text(C.c.code, is_indexed=True)),
    "product-code.type": _among(C.c.resource_id, _text(C.c.type)),
    "public-ssm-parameter-name": _among(
        Q.c.image_id, lambda values, _: and_(Q.c.is_public, matches(Q.c.name, values, is_indexed=True))
    ),
    "ramdisk-id": _text(I.c.ramdisk_id),
    "root-device-name": _text(I.c.root_device_name),
    "root-device-type": _text(I.c.root_device_type),
    "scan-result.critical-fix-available-since": _never,
    "scan-result.finding-scan-date": _never,
    "scan-result.high-fix-available-since": _never,
    "scan-result.highest-finding-severity-label": _never,
    "scan-result.informational-fix-available-since": _never,
    "scan-result.low-fix-available-since": _never,
    "scan-result.medium-fix-available-since": _never,
    "source-image-id": _of_owner(_text(I.c.source_image_id, is_indexed=True)),
    "source-image-region": _of_owner(_text(I.c.source_image_region)),
    "source-instance-id": _of_owner(_text(I.c.source_instance_id)),
    "sriov-net-support": _text(I.c.sriov_net_support),
    "state": _text(I.c.state),
    "state-reason-code": _text(I.c.state_reason_code),
    "state-reason-message": _reason_message,
    "tag-key": lambda values, viewpoint: _tagged(viewpoint, matches(T.c.key, values, is_indexed=True)),
    "virtualization-type": _text(I.c.virtualization_type),
}
"""Names and what they ask; beside them there is ``tag:<key>``."""
