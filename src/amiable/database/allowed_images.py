"""An account's allowed images settings, and what they allow, as SQL over image rows.

``rules/allowed_images`` says the same of values; a law of the tests holds the two against each other.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    exists,
    false,
    insert,
    not_,
    or_,
    select,
    true,
    update,
)

from amiable.database.schema import account as A
from amiable.database.schema import allowed_images as S
from amiable.database.schema import image as I
from amiable.database.schema import image_watermark as W
from amiable.database.schema import resource_product_code as C
from amiable.database.text_match import is_one_of, matches
from amiable.model.allowed_images import AllowedImages, AllowedImagesState, ImageCriterion, WatermarkCriterion
from amiable.model.image import ImageType
from amiable.rules.allowed_images import earliest

_FOUND = select(S.c.state, S.c.criteria).where(
    S.c.account_id == bindparam("account_id"), S.c.region == bindparam("region")
)
"""Put together once: every list of images asks it."""


def find(c: Connection, account_id: str, region: str) -> AllowedImages:
    """The account's settings in the region; where nothing was said, every image is allowed."""
    row = c.execute(_FOUND, {"account_id": account_id, "region": region}).first()
    if row is None:
        return AllowedImages()
    criteria = msgspec.json.decode(row.criteria, type=tuple[ImageCriterion, ...])
    return AllowedImages(AllowedImagesState(row.state), criteria)


def put(c: Connection, account_id: str, region: str, settings: AllowedImages) -> None:
    """Puts the account's settings in the region."""
    mine = (S.c.account_id == account_id) & (S.c.region == region)
    values = {"state": settings.state.value, "criteria": msgspec.json.encode(settings.criteria).decode()}
    if c.execute(update(S).where(mine).values(**values)).rowcount == 0:
        c.execute(insert(S).values(account_id=account_id, region=region, **values))


def allows(settings: AllowedImages, viewer: str, now: datetime) -> ColumnElement[bool]:
    """Whether the criteria allow ``viewer`` the image of a row of ``image``, whatever the state is."""
    met = [_meets(criterion, now) for criterion in settings.criteria]
    return or_(I.c.account_id == viewer, I.c.image_type != ImageType.MACHINE.value, *met)


def not_allowed(
    c: Connection, settings: AllowedImages, viewer: str, image_ids: Iterable[str], *, now: datetime
) -> set[str]:
    """Those of ``image_ids`` that the criteria do not allow ``viewer``."""
    kept_out = and_(is_one_of(I.c.id, image_ids), not_(allows(settings, viewer, now)))
    return set(c.execute(select(I.c.id).where(kept_out)).scalars())


def _meets(criterion: ImageCriterion, now: datetime) -> ColumnElement[bool]:
    if criterion.scan_result is not None:
        return false()
    tests: list[ColumnElement[bool]] = []
    if criterion.providers:
        aliased = select(A.c.id).where(A.c.owner_alias.in_(criterion.providers))
        tests.append(or_(I.c.account_id.in_(criterion.providers), I.c.account_id.in_(aliased)))
    if criterion.product_codes:
        tests.append(exists().where(C.c.resource_id == I.c.id, C.c.code.in_(criterion.product_codes)))
    if criterion.names:
        tests.append(matches(I.c.name, criterion.names))
    if criterion.created_days_max is not None:
        tests.append(I.c.created_at >= earliest(criterion.created_days_max, now))
    if criterion.deprecated_days_max is not None:
        still: ColumnElement[bool] = false()
        if criterion.deprecated_days_max > 0:
            still = I.c.deprecation_at >= earliest(criterion.deprecated_days_max, now)
        tests.append(or_(I.c.deprecation_at.is_(None), I.c.deprecation_at > now, still))
    if criterion.watermarks:
        carried = [_carries(wanted, now) for wanted in criterion.watermarks]
        tests.append(exists().where(W.c.image_id == I.c.id, or_(*carried)))
    return and_(true(), *tests)


def _carries(wanted: WatermarkCriterion, now: datetime) -> ColumnElement[bool]:
    tests: list[ColumnElement[bool]] = []
    if wanted.key is not None:
        tests.append(matches(W.c.key, [wanted.key]))
    if wanted.source_image_region is not None:
        tests.append(matches(W.c.source_image_region, [wanted.source_image_region]))
    if wanted.source_image_created_days_max is not None:
        tests.append(W.c.source_image_created_at >= earliest(wanted.source_image_created_days_max, now))
    if wanted.created_days_max is not None:
        tests.append(W.c.created_at >= earliest(wanted.created_days_max, now))
    return and_(true(), *tests)
