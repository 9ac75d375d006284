"""Usage report rows with their entries; a report whose time is over is seen no more."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from amiable.database import tags as tag_rows
from amiable.database.schema import image_usage_report as R
from amiable.database.schema import image_usage_report_entry as E
from amiable.database.schema import image_usage_report_type as T
from amiable.database.tags import batches
from amiable.model.usage_report import ReportState, ReportType, UsageEntry, UsageReport


def insert_report(c: Connection, report: UsageReport) -> None:
    """Writes a pending report."""
    row = {
        name: getattr(report, name) for name in ("id", "account_id", "region", "image_id", "created_at", "expires_at")
    }
    accounts = None if report.account_ids is None else " ".join(report.account_ids)
    c.execute(insert(R).values(**row, state=report.state.value, state_reason=None, account_ids=accounts))
    types = [
        {"report_id": report.id, "position": n, "resource_type": it.resource_type, "version_depth": it.version_depth}
        for n, it in enumerate(report.types)
    ]
    c.execute(insert(T), types)


def find_report(c: Connection, report_id: str) -> UsageReport | None:
    """The report of this id, whoever owns it, its time over or not; without tags."""
    found = _read(c, R.c.id == report_id)
    return found[0] if found else None


def list_reports(c: Connection, account_id: str, region: str, *, now: datetime) -> list[UsageReport]:
    """The account's reports with its tags, oldest first."""
    mine = (R.c.account_id == account_id) & (R.c.region == region) & (R.c.expires_at > now)
    tags = tag_rows.tags_of_type(c, account_id, region, "image-usage-report")
    return _read(c, mine, tags)


def list_entries(c: Connection, reports: Sequence[UsageReport]) -> list[UsageEntry]:
    """The entries of those of ``reports`` that are available, by report, type and account."""
    ready = {report.id: report for report in reports if report.state is ReportState.AVAILABLE}
    found: list[UsageEntry] = []
    for some in batches(list(ready)):
        for row in c.execute(select(E).where(E.c.report_id.in_(some))):
            found.append(UsageEntry(ready[row.report_id], row.resource_type, row.account_id, row.usage_count))
    return sorted(found, key=lambda it: (it.report.created_at, it.report.id, it.resource_type, it.account_id))


def complete_report(c: Connection, report_id: str, counts: Mapping[tuple[str, str], int]) -> None:
    """pending → available, with (resource type, account) → count; nothing where it is not pending any more."""
    if not _set_state(c, report_id, ReportState.AVAILABLE, None):
        return
    rows = [
        {"report_id": report_id, "resource_type": kind, "account_id": account_id, "usage_count": count}
        for (kind, account_id), count in counts.items()
    ]
    if rows:
        c.execute(insert(E), rows)


def fail_report(c: Connection, report_id: str, reason: str) -> None:
    """pending → error."""
    _set_state(c, report_id, ReportState.ERROR, reason[:1000])


def _set_state(c: Connection, report_id: str, state: ReportState, reason: str | None) -> bool:
    pending = (R.c.id == report_id) & (R.c.state == ReportState.PENDING.value)
    return c.execute(update(R).where(pending).values(state=state.value, state_reason=reason)).rowcount == 1


def delete_report(c: Connection, report_id: str) -> None:
    """Removes the report, its entries and its tags."""
    c.execute(delete(R).where(R.c.id == report_id))
    tag_rows.forget(c, report_id)


def delete_expired(c: Connection, *, now: datetime) -> None:
    """Removes every report whose time is over."""
    for report_id in c.execute(select(R.c.id).where(R.c.expires_at <= now)).scalars().all():
        delete_report(c, report_id)


def _read(
    c: Connection, where: ColumnElement[bool], tags: Mapping[str, Mapping[str, str]] | None = None
) -> list[UsageReport]:
    rows = c.execute(select(R).where(where).order_by(R.c.created_at, R.c.id)).all()
    types: dict[str, list[ReportType]] = {}
    for some in batches([row.id for row in rows]):
        for row in c.execute(select(T).where(T.c.report_id.in_(some)).order_by(T.c.report_id, T.c.position)):
            types.setdefault(row.report_id, []).append(ReportType(row.resource_type, row.version_depth))
    return [
        UsageReport(
            id=row.id,
            account_id=row.account_id,
            region=row.region,
            image_id=row.image_id,
            types=tuple(types.get(row.id, ())),
            account_ids=None if row.account_ids is None else tuple(row.account_ids.split()),
            created_at=row.created_at,
            state=ReportState(row.state),
            state_reason=row.state_reason,
            tags=(tags or {}).get(row.id, {}),
        )
        for row in rows
    ]
