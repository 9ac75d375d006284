"""Usage reports: which other accounts use an image.  CreateImageUsageReport asks for one, a job counts.

Source: EC2 API, CreateImageUsageReport, DescribeImageUsageReports, DescribeImageUsageReportEntries, DeleteImageUsageReport.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.images import check_image_id, check_image_ids, owned_image
from amiable.api.ec2.tags import birth_tags, parse_filters, tag_set
from amiable.api.idempotency import Repeatable
from amiable.api.paging import open_page
from amiable.database import jobs, usage_reports
from amiable.database import tags as tag_rows
from amiable.model import ids
from amiable.model.errors import (
    InvalidParameterCombination,
    InvalidUserIDMalformed,
    NotFound,
)
from amiable.model.principal import Principal
from amiable.model.usage_report import (
    CONTAINER_RECIPE,
    IMAGE_RECIPE,
    INSTANCE,
    LAUNCH_TEMPLATE,
    VERSION_DEPTH,
    ReportType,
    UsageEntry,
    UsageReport,
)
from amiable.rules import filters
from amiable.rules.identifiers import check_form
from amiable.rules.image_filters import spell_time
from amiable.rules.reference_type import VERSION_DEPTH as DEPTH_OPTION
from amiable.rules.reference_type import check_type, read_depth
from amiable.services import Services
from amiable.wire.generated import ec2

RESOURCE_TYPE: Final = "image-usage-report"
TYPES: Final = dict.fromkeys((INSTANCE, LAUNCH_TEMPLATE, IMAGE_RECIPE, CONTAINER_RECIPE))

REPORT_FIELDS: Final[Mapping[str, filters.Field[UsageReport]]] = {
    "creation-time": lambda it: (spell_time(it.created_at),),
    "state": lambda it: (it.state,),
}
ENTRY_FIELDS: Final[Mapping[str, filters.Field[UsageEntry]]] = {
    "account-id": lambda it: (it.account_id,),
    "creation-time": lambda it: (spell_time(it.report.created_at),),
    "resource-type": lambda it: (it.resource_type,),
}


def create_image_usage_report(
    services: Services, principal: Principal, request: ec2.CreateImageUsageReportRequest
) -> ec2.CreateImageUsageReportResult:
    """Asks for a report on one of the caller's images; with the same token again it is the same report."""
    check_image_id(request.image_id)
    types, accounts = _types(request.resource_types), _accounts(request.account_ids)
    tags = birth_tags(request.tag_specifications, (RESOURCE_TYPE,)).get(RESOURCE_TYPE, {})
    with services.database.write() as c:
        once = Repeatable(services, principal, request)
        made = once.recall(c)
        if made is not None:
            raise_if_dry_run(request)
            return ec2.CreateImageUsageReportResult(report_id=made[0])
        owned_image(c, principal, request.image_id)
        raise_if_dry_run(request)
        usage_reports.delete_expired(c, now=services.now())
        report = UsageReport(
            id=services.mint(ids.IMAGE_USAGE_REPORT),
            account_id=principal.account_id,
            region=principal.region,
            image_id=request.image_id,
            types=types,
            account_ids=accounts,
            created_at=services.now(),
            tags=tags,
        )
        _insert(services, c, report)
        once.remember(c, [report.id])
    services.wake()
    return ec2.CreateImageUsageReportResult(report_id=report.id)


def _insert(services: Services, c: Connection, report: UsageReport) -> None:
    """Writes the report, its tags and the job that counts."""
    usage_reports.insert_report(c, report)
    tag_rows.put(c, tag_rows.TaggedResource(report.account_id, report.region, report.id, RESOURCE_TYPE), report.tags)
    jobs.enqueue(c, jobs.NewJob(RESOURCE_TYPE, report.id, {"report_id": report.id}), now=services.now())


def _types(named: Sequence[ec2.ImageUsageResourceTypeRequest]) -> tuple[ReportType, ...]:
    """The types that a report counts, each once; only launch templates have an option."""
    found: dict[str, ReportType] = {}
    for number, each in enumerate(named, start=1):
        resource_type = check_type(each.resource_type, number, TYPES)
        if resource_type in found:
            raise InvalidParameterCombination(f"The resource type {resource_type} is given twice.")
        depth = VERSION_DEPTH if resource_type == LAUNCH_TEMPLATE else None
        for option in each.resource_type_options or []:
            if resource_type != LAUNCH_TEMPLATE or option.option_name != DEPTH_OPTION:
                raise InvalidParameterCombination(
                    f"The option {option.option_name} is not valid for the resource type {resource_type}."
                )
            depth = read_depth(option.option_values or [])
        found[resource_type] = ReportType(resource_type, depth)
    return tuple(found.values())


def _accounts(account_ids: Sequence[str] | None) -> tuple[str, ...] | None:
    if not account_ids:
        return None
    for account_id in account_ids:
        if not ids.is_account(account_id):
            raise InvalidUserIDMalformed(value=account_id)
    return tuple(dict.fromkeys(account_ids))


def describe_image_usage_reports(
    services: Services, principal: Principal, request: ec2.DescribeImageUsageReportsRequest
) -> ec2.DescribeImageUsageReportsResult:
    """The caller's reports, oldest first; of the images, or those of the ids, which must be there."""
    _check_ids(request.image_ids, request.report_ids)
    wanted = filters.predicate(parse_filters(request.filters), REPORT_FIELDS, tags=lambda it: it.tags)
    page = open_page(services, principal, request)
    with services.database.read() as c:
        found = _named(services, c, principal, request.image_ids, request.report_ids)
    raise_if_dry_run(request)
    chosen = [report for report in found if wanted(report)]
    shown, token = page.cut(chosen, _report_key)
    return ec2.DescribeImageUsageReportsResult(
        image_usage_reports=[_report(report) for report in shown], next_token=token
    )


def describe_image_usage_report_entries(
    services: Services, principal: Principal, request: ec2.DescribeImageUsageReportEntriesRequest
) -> ec2.DescribeImageUsageReportEntriesResult:
    """What the caller's available reports counted."""
    _check_ids(request.image_ids, request.report_ids)
    wanted = filters.predicate(parse_filters(request.filters), ENTRY_FIELDS)
    page = open_page(services, principal, request)
    with services.database.read() as c:
        reports = _named(services, c, principal, request.image_ids, request.report_ids)
        chosen = [entry for entry in usage_reports.list_entries(c, reports) if wanted(entry)]
    raise_if_dry_run(request)
    shown, token = page.cut(chosen, _entry_key)
    return ec2.DescribeImageUsageReportEntriesResult(
        image_usage_report_entries=[_entry(entry) for entry in shown], next_token=token
    )


def delete_image_usage_report(
    services: Services, principal: Principal, request: ec2.DeleteImageUsageReportRequest
) -> ec2.DeleteImageUsageReportResult:
    """Deletes one of the caller's reports."""
    _check_ids(None, [request.report_id])
    with services.database.write_and_answer() as c:
        (report,) = _named(services, c, principal, None, [request.report_id])
        raise_if_dry_run(request)
        usage_reports.delete_report(c, report.id)
    return ec2.DeleteImageUsageReportResult(return_=True)


def _check_ids(image_ids: Sequence[str] | None, report_ids: Sequence[str] | None) -> None:
    check_image_ids(image_ids or [])
    check_form("usage_report", ids.IMAGE_USAGE_REPORT, report_ids)


def _named(
    services: Services,
    c: Connection,
    principal: Principal,
    image_ids: Sequence[str] | None,
    report_ids: Sequence[str] | None,
) -> list[UsageReport]:
    """The caller's reports that a request selects; every report that it names must be there."""
    found = usage_reports.list_reports(c, principal.account_id, principal.region, now=services.now())
    missing = [each for each in dict.fromkeys(report_ids or []) if each not in {report.id for report in found}]
    if missing:
        raise NotFound("usage_report", missing)
    return [
        report
        for report in found
        if (not report_ids or report.id in report_ids) and (not image_ids or report.image_id in image_ids)
    ]


def _report_key(it: UsageReport) -> str:
    return f"{spell_time(it.created_at)}\0{it.id}"


def _entry_key(it: UsageEntry) -> str:
    return f"{_report_key(it.report)}\0{it.resource_type}\0{it.account_id}"


def _report(it: UsageReport) -> ec2.ImageUsageReport:
    return ec2.ImageUsageReport(
        image_id=it.image_id,
        report_id=it.id,
        resource_types=[_type(each) for each in it.types],
        account_ids=None if it.account_ids is None else list(it.account_ids),
        state=it.state,
        state_reason=it.state_reason,
        creation_time=it.created_at,
        expiration_time=it.expires_at,
        tags=tag_set(it.tags),
    )


def _type(it: ReportType) -> ec2.ImageUsageResourceType:
    options = None
    if it.version_depth is not None:
        options = [ec2.ImageUsageResourceTypeOption(option_name=DEPTH_OPTION, option_values=[str(it.version_depth)])]
    return ec2.ImageUsageResourceType(resource_type=it.resource_type, resource_type_options=options)


def _entry(it: UsageEntry) -> ec2.ImageUsageReportEntry:
    return ec2.ImageUsageReportEntry(
        resource_type=it.resource_type,
        report_id=it.report.id,
        usage_count=it.usage_count,
        account_id=it.account_id,
        image_id=it.report.image_id,
        report_creation_time=it.report.created_at,
    )
