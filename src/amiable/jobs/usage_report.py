"""image-usage-report: counts who uses an image; data {"report_id": …}.

Safe to run twice: the counts and the report's new state are one transaction.
"""

from amiable.database import lineage, usage_reports
from amiable.jobs.context import JobContext
from amiable.model.usage_report import INSTANCE


def make_report(context: JobContext) -> None:
    """Counts and completes the report; nothing where it was deleted meanwhile."""
    with context.services.database.write() as c:
        report = usage_reports.find_report(c, context.data["report_id"])
        if report is None:
            return
        counts: dict[tuple[str, str], int] = {}
        for each in report.types:
            if each.resource_type != INSTANCE:
                continue  # nothing here keeps launch templates or recipes
            used = lineage.count_uses(
                c, report.region, report.image_id, without=report.account_id, only=report.account_ids
            )
            counts |= {(INSTANCE, account_id): count for account_id, count in used.items()}
        usage_reports.complete_report(c, report.id, counts)


def give_up(context: JobContext, message: str) -> None:
    """Puts the report into error."""
    with context.services.database.write() as c:
        usage_reports.fail_report(c, context.data["report_id"], message)
