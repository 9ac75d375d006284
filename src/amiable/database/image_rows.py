"""From rows to images, as one viewer sees them.

Three queries however many images there are: the rows themselves with their owners' aliases, their devices, and all that hangs on
them by the handful (grants, tags, product codes, watermarks, instance types, public parameters), which one UNION brings.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    String,
    bindparam,
    cast,
    literal,
    null,
    select,
    union_all,
)

from amiable.database.organizations import grantee_words
from amiable.database.schema import account as A
from amiable.database.schema import image as I
from amiable.database.schema import image_device as D
from amiable.database.schema import image_instance_type as X
from amiable.database.schema import image_watermark as W
from amiable.database.schema import launch_permission as P
from amiable.database.schema import parameter as Q
from amiable.database.schema import resource_product_code as C
from amiable.database.schema import tag as T
from amiable.database.text_match import OneOf, texts
from amiable.model.image import Image, ImageDevice, ImageState, ImageType, RootDeviceType, StateReason
from amiable.model.instance_type_rule import InstanceTypeRule
from amiable.model.kernel import KernelKind
from amiable.model.product import ProductCode, ProductCodeType
from amiable.model.watermark import Watermark

DEVICE_FIELDS: Final = tuple(ImageDevice.__dataclass_fields__)
PLAIN_FIELDS: Final = tuple(name for name in Image.__dataclass_fields__ if name in I.c and name not in (
    "state", "image_type", "root_device_type", "kernel_kind", "ancestor_ami_ids"
))  # fmt: skip
"""The fields that a column holds as it is."""

_ROWS: Final = (
    *(I.c[name] for name in PLAIN_FIELDS),
    *(I.c.state, I.c.state_reason_code, I.c.state_reason_message, I.c.image_type, I.c.root_device_type),
    *(I.c.kernel_kind, I.c.ancestor_ami_ids, A.c.owner_alias),
)
IMAGES: Final = select(*_ROWS).select_from(I.join(A, A.c.id == I.c.account_id))
"""What :func:`read_images` reads; a column ``is_allowed`` may be added."""
_STATES: Final = {state.value: state for state in ImageState}
_TYPES: Final = {kind.value: kind for kind in ImageType}
_ROOTS: Final = {kind.value: kind for kind in RootDeviceType}


def _part(kind: str, image_id: Any, *texts: Any, position: Any = None, moments: Iterable[Any] = ()) -> Select[Any]:
    """One part of the UNION: all have the same columns, most of them empty."""
    words = [*texts, *(cast(null(), String) for _ in range(4 - len(texts)))]
    times = [cast(moment, BigInteger) for moment in moments] or [cast(null(), BigInteger) for _ in range(2)]
    columns = zip(("first", "second", "third", "fourth", "early", "late"), (*words, *times), strict=True)
    return select(
        literal(kind).label("kind"),
        image_id.label("image_id"),
        (literal(0, Integer) if position is None else position).label("position"),
        *(column.label(name) for name, column in columns),
    )


_IDS: Final = bindparam("ids", type_=String)
_DEVICES: Final = (
    select(D.c.image_id, *(D.c[name] for name in DEVICE_FIELDS))
    .where(OneOf(D.c.image_id, _IDS))
    .order_by(D.c.image_id, D.c.position)
)
_HANGING: Final = union_all(
    _part("grant", P.c.image_id, P.c.grantee).where(
        OneOf(P.c.grantee, bindparam("words", type_=String)), OneOf(P.c.image_id, _IDS)
    ),
    _part("tag", T.c.resource_id, T.c.key, T.c.value).where(
        T.c.account_id == bindparam("viewer"), OneOf(T.c.resource_id, _IDS)
    ),
    _part("code", C.c.resource_id, C.c.code, C.c.type, position=C.c.position).where(OneOf(C.c.resource_id, _IDS)),
    _part(
        *("watermark", W.c.image_id, W.c.name, W.c.account_id, W.c.source_image_id, W.c.source_image_region),
        position=W.c.position,
        moments=(W.c.source_image_created_at, W.c.created_at),
    ).where(OneOf(W.c.image_id, _IDS)),
    _part("type", X.c.image_id, X.c.kind, X.c.pattern, position=X.c.position).where(OneOf(X.c.image_id, _IDS)),
    _part("parameter", Q.c.image_id, Q.c.name).where(Q.c.is_public, OneOf(Q.c.image_id, _IDS)),
).order_by("position", "first")
"""Put together once: building a statement costs several times what running it does."""


@dataclass(slots=True)
class _Hung:
    """What hangs on one image."""

    grantees: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    codes: list[ProductCode] = field(default_factory=list)
    watermarks: list[Watermark] = field(default_factory=list)
    supported: list[str] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)


def read_images(c: Connection, query: Select[Any], *, viewer: str, words: frozenset[str] | None = None) -> list[Image]:
    """The images that ``query``, made of :data:`IMAGES`, selects, in its order; ``words`` where they are known stand for the viewer."""
    rows = c.execute(query).all()
    if not rows:
        return []
    ids = [row.id for row in rows]
    devices = _devices(c, ids)
    hung = _hung(c, ids, viewer, words or grantee_words(c, viewer))
    nothing = _Hung()
    return [_image(row, devices.get(row.id, ()), hung.get(row.id, nothing)) for row in rows]


def _devices(c: Connection, ids: Sequence[str]) -> dict[str, list[ImageDevice]]:
    found: dict[str, list[ImageDevice]] = defaultdict(list)
    for image_id, *values in c.execute(_DEVICES, {"ids": texts(ids)}):
        found[image_id].append(ImageDevice(*values))
    return found


def _hung(c: Connection, ids: Sequence[str], viewer: str, words: frozenset[str]) -> dict[str, _Hung]:
    found: dict[str, _Hung] = defaultdict(_Hung)
    for row in c.execute(_HANGING, {"ids": texts(ids), "viewer": viewer, "words": texts(sorted(words))}):
        _hang(found[row.image_id], row)
    return found


def _hang(on: _Hung, row: Any) -> None:
    match row.kind:
        case "grant":
            on.grantees.append(row.first)
        case "tag":
            on.tags[row.first] = row.second
        case "code":
            on.codes.append(ProductCode(row.first, ProductCodeType(row.second)))
        case "watermark":
            words = (row.first, row.second, row.third, row.fourth)
            on.watermarks.append(Watermark(*words, _instant(row.early), _instant(row.late)))
        case "parameter":
            on.parameters.append(row.first)
        case "type":
            (on.supported if row.first == "supported" else on.unsupported).append(row.second)


def _instant(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


def _image(row: Any, devices: Sequence[ImageDevice], hung: _Hung) -> Image:
    values = row._mapping
    reason = StateReason(row.state_reason_code, row.state_reason_message or "") if row.state_reason_code else None
    return Image(
        **{name: values[name] for name in PLAIN_FIELDS},
        state=_STATES[row.state],
        state_reason=reason,
        image_type=_TYPES[row.image_type],
        root_device_type=_ROOTS[row.root_device_type],
        kernel_kind=None if row.kernel_kind is None else KernelKind(row.kernel_kind),
        ancestor_ami_ids=tuple((row.ancestor_ami_ids or "").split()),
        devices=tuple(devices),
        product_codes=tuple(hung.codes),
        owner_alias=row.owner_alias,
        watermarks=tuple(hung.watermarks),
        instance_types=InstanceTypeRule(tuple(hung.supported), tuple(hung.unsupported)),
        public_parameters=tuple(hung.parameters),
        is_allowed=values.get("is_allowed"),
        grantees=frozenset(hung.grantees),
        tags=hung.tags,
    )
