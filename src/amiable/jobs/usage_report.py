"""image-usage-report: counts who uses an image; data {"report_id": …}.

Safe to run twice: the counts and the report's new state are one transaction.
"""

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Connection

from amiable.database import launch_templates, lineage, usage_reports
from amiable.jobs.context import JobContext
from amiable.model.usage_report import INSTANCE, LAUNCH_TEMPLATE, VERSION_DEPTH, ReportType, UsageReport


def make_report(context: JobContext) -> None:
    """Counts and completes the report; nothing where it was deleted meanwhile."""
    with context.services.database.write() as c:
        report = usage_reports.find_report(c, context.data["report_id"])
        if report is None:
            return
        counts: dict[tuple[str, str], int] = {}
        for each in report.types:
            used = _count(c, report, each)
            counts |= {(each.resource_type, account_id): count for account_id, count in used.items()}
        usage_reports.complete_report(c, report.id, counts)


def _count(c: Connection, report: UsageReport, kind: ReportType) -> Mapping[str, int]:
    """How many resources of the type each other account has that use the image; nothing here keeps recipes."""
    if kind.resource_type == INSTANCE:
        return lineage.count_uses(c, report.region, report.image_id, without=report.account_id, only=report.account_ids)
    if kind.resource_type != LAUNCH_TEMPLATE:
        return {}
    found = launch_templates.uses(c, report.region, [report.image_id], depth=kind.version_depth or VERSION_DEPTH)
    wanted = [use.account_id for use in found if use.account_id != report.account_id]
    return Counter(each for each in wanted if report.account_ids is None or each in report.account_ids)


def give_up(context: JobContext, message: str) -> None:
    """Puts the report into error."""
    with context.services.database.write() as c:
        usage_reports.fail_report(c, context.data["report_id"], message)
