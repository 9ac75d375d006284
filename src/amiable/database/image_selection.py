"""Which images a list is of: who asks, what it asks for, and what it may see, in one query.

Lists go by creation, then id: images that come during a walk from page to page stand behind its end, those that go leave no gap.

    what is asked          how the rows are found                       visible
    a page                 in the order of the index, up to its size    a grant looked up for each row
    a name, an owner, …    by the index of what is named                a grant looked up for each row
    everything             own images and granted ones, by their ids    that is what they are
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    exists,
    literal,
    literal_column,
    or_,
    select,
    true,
    type_coerce,
    union_all,
)

from amiable.database import sharing
from amiable.database.connect import milliseconds
from amiable.database.image_filters import Viewpoint, conditions
from amiable.database.image_rows import IMAGES, read_images
from amiable.database.organizations import grantee_words
from amiable.database.schema import account as A
from amiable.database.schema import image as I
from amiable.database.schema import launch_permission as P
from amiable.database.text_match import is_one_of
from amiable.model import ids
from amiable.model.image import EVERYONE, Image, ImageState
from amiable.rules.filters import Filter

UNLISTED: Final = (ImageState.DEREGISTERED.value, ImageState.BINNED.value)
FINDS_IDS: Final = (
    *("block-device-mapping.snapshot-id", "image-id", "product-code", "image-watermark.watermark-key"),
    "public-ssm-parameter-name",
)
"""Filters that an index answers with the ids of few images, as those of tags do."""

# Without statistics SQLite takes an owner's or a region's images for ten, and an index in the list's order for cheap.  What
# another index finds is asked for by these, which have no index.
_CREATED: Final = type_coerce(I.c.created_at, BigInteger) + literal_column("0")
_REGION: Final = I.c.region.concat("")
_OWNER: Final = I.c.account_id.concat("")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the images that ``viewer`` may see a list is of; None stands for no restriction."""

    viewer: str
    region: str
    ids: frozenset[str] | None = None
    owners: frozenset[str] | None = None  # accounts, and owner aliases
    executable_by: frozenset[str] | None = None  # the viewer's id (its organization's grants too), all, other accounts
    filters: tuple[Filter, ...] = ()
    now: datetime | None = None  # None: nothing is deprecated yet
    has_deprecated: bool = False  # others' images that are deprecated; the viewer's own are there anyhow
    has_disabled: bool = True  # the viewer's own disabled images; another's never are
    allowed: ColumnElement[bool] | None = None  # the viewer's criteria, where it has any; its own images meet them
    hides_not_allowed: bool = False
    after: str | None = None  # a key of list_key
    size: int | None = None


def list_key(image: Image) -> str:
    """The key that lists are ordered by: creation, then id."""
    return f"{milliseconds(image.created_at):014d}:{image.id}"


def list_images(c: Connection, selection: Selection) -> list[Image]:
    """The selected images, oldest first."""
    allowed = _allowed(selection)
    columns = IMAGES if allowed is None else IMAGES.add_columns(allowed.label("is_allowed"))
    words = grantee_words(c, selection.viewer)
    query = _where(columns, selection, words)
    if selection.after is not None:
        moment, _, image_id = selection.after.partition(":")
        begin = _instant(moment)
        query = query.where(I.c.created_at >= begin, or_(I.c.created_at > begin, I.c.id > image_id))
    query = query.order_by(_CREATED if _is_found(selection) else I.c.created_at, I.c.id)
    return read_images(c, query.limit(selection.size), viewer=selection.viewer, words=words)


def list_ids(c: Connection, selection: Selection) -> set[str]:
    """The ids of the selected images."""
    return set(c.execute(_where(select(I.c.id), selection, grantee_words(c, selection.viewer))).scalars())


def _where(query: Select[Any], wanted: Selection, words: frozenset[str]) -> Select[Any]:
    viewpoint = Viewpoint(wanted.viewer, wanted.region, _allowed(wanted))
    is_own = I.c.account_id == wanted.viewer
    query = query.where(
        (_REGION if _finds_ids(wanted) or _is_everything(wanted) else I.c.region) == wanted.region,
        I.c.deregistered_at.is_(None),
        I.c.state.not_in(UNLISTED),
        _visible(wanted, words),
        *conditions(wanted.filters, viewpoint),
    )
    if wanted.ids is not None:
        query = query.where(is_one_of(I.c.id, sorted(wanted.ids)))
    if wanted.owners is not None:
        query = query.where(_owned(_OWNER if _finds_ids(wanted) else I.c.account_id, wanted.owners))
    if wanted.executable_by is not None:
        query = query.where(_executable(wanted.viewer, words, wanted.executable_by))
    if wanted.now is not None and not wanted.has_deprecated:
        is_current = or_(I.c.deprecation_at.is_(None), I.c.deprecation_at > wanted.now)
        query = query.where(or_(is_own, is_current))
    is_enabled = I.c.state != ImageState.DISABLED.value
    query = query.where(or_(is_enabled, is_own) if wanted.has_disabled else is_enabled)
    if viewpoint.allowed is not None and wanted.hides_not_allowed:
        query = query.where(viewpoint.allowed)
    return query


def _allowed(wanted: Selection) -> ColumnElement[bool] | None:
    return None if wanted.allowed is None else or_(I.c.account_id == wanted.viewer, wanted.allowed)


def _visible(wanted: Selection, words: frozenset[str]) -> ColumnElement[bool]:
    if wanted.owners == frozenset({wanted.viewer}):
        return true()
    if _is_everything(wanted):
        own = select(I.c.id).where(I.c.account_id == wanted.viewer, I.c.region == wanted.region)
        return I.c.id.in_(union_all(own, sharing.images_granted(words)))
    return or_(I.c.account_id == wanted.viewer, _granted(words))


def _finds_ids(wanted: Selection) -> bool:
    """Whether something asked for finds the images by their ids."""
    is_by_id = any(each.name in FINDS_IDS or each.name.startswith("tag") for each in wanted.filters)
    return wanted.ids is not None or is_by_id


def _is_everything(wanted: Selection) -> bool:
    """Whether it is all that is visible, at once: found by the ids of what is."""
    is_whole = wanted.size is None and wanted.owners is None
    return is_whole and not _finds_ids(wanted) and not _finds_names(wanted)


def _is_found(wanted: Selection) -> bool:
    """Whether the rows are found by other than the order of the list."""
    return _finds_ids(wanted) or _finds_names(wanted) or _is_everything(wanted)


def _finds_names(wanted: Selection) -> bool:
    return any(each.name == "name" for each in wanted.filters)


def _granted(words: frozenset[str]) -> ColumnElement[bool]:
    grant = select(literal(1)).where(P.c.image_id == I.c.id, P.c.grantee.in_(sorted(words)))
    return exists(grant).correlate(I)


def _owned(owner: ColumnElement[str], owners: frozenset[str]) -> ColumnElement[bool]:
    accounts = sorted(each for each in owners if ids.is_account(each))
    aliases = sorted(owners.difference(accounts))
    named = owner == accounts[0] if len(accounts) == 1 else owner.in_(accounts)
    if not aliases:
        return named
    called = owner.in_(select(A.c.id).where(A.c.owner_alias.in_(aliases)))
    return or_(named, called) if accounts else called


def _executable(viewer: str, words: frozenset[str], users: frozenset[str]) -> ColumnElement[bool]:
    """Granted to the viewer, itself or through its organization, or to all; what another account is granted is the viewer's to
    know of its own images only, and only where that account is named itself."""
    open_to = {EVERYONE} & users | (words - {EVERYONE} if viewer in users else frozenset())
    others = users - {viewer, EVERYONE}
    mine = and_(I.c.account_id == viewer, I.c.id.in_(sharing.images_granted(others)))
    return or_(I.c.id.in_(sharing.images_granted(open_to)), mine)


def _instant(text: str) -> datetime:
    return datetime.fromtimestamp(int(text) // 1000, UTC).replace(microsecond=int(text) % 1000 * 1000)
