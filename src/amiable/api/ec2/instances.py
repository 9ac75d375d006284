"""DescribeInstances and DescribeInstanceCreditSpecifications.

RunInstances is ``launch``; what changes a state is ``instance_states``; checks are ``instance_status``, filters ``instance_filters``.
"""

from collections.abc import Mapping
from typing import Final

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2 import views
from amiable.api.ec2.instance_filters import FIELDS, shown
from amiable.api.ec2.instance_ids import check_ids, find_visible, refuse_page_of_ids
from amiable.api.ec2.tags import parse_filters
from amiable.api.ec2.views import View
from amiable.api.paging import PageBounds, open_page
from amiable.model.instance import Instance
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.services import Services
from amiable.wire.generated import ec2

PAGE_SIZE_MIN: Final = 5
STANDARD: Final = "standard"
UNLIMITED: Final = "unlimited"


def describe_instances(
    services: Services, principal: Principal, request: ec2.DescribeInstancesRequest
) -> ec2.DescribeInstancesResult:
    """The caller's instances by reservation; terminated ones are listed for an hour."""
    wanted_ids = check_ids(request.instance_ids)
    refuse_page_of_ids(wanted_ids, request.max_results, request.next_token)
    wanted = filters.predicate(parse_filters(request.filters), FIELDS, tags=lambda it: it.view.tags)
    page = open_page(services, principal, request, PageBounds(size_min=PAGE_SIZE_MIN))
    raise_if_dry_run(request)
    with services.database.read() as c:
        found = find_visible(c, principal, wanted_ids, now=services.now())
        seen = views.zoned_views_of(c, services, principal, found)
    chosen = sorted((view for view in seen if not request.filters or wanted(shown(view))), key=_page_key)
    page_of, token = page.cut(chosen, _page_key)
    return ec2.DescribeInstancesResult(reservations=views.reservations(page_of), next_token=token)


def _page_key(view: View) -> str:
    return f"{view.instance.reservation_id}:{view.instance.launch_index:06d}"


# ── CPU credits ─────────────────────────────────────────────────────────────────────────────────────────────────────────

CREDIT_FIELDS: Final[Mapping[str, filters.Field[Instance]]] = {"instance-id": lambda it: (it.id,)}


def describe_instance_credit_specifications(
    services: Services, principal: Principal, request: ec2.DescribeInstanceCreditSpecificationsRequest
) -> ec2.DescribeInstanceCreditSpecificationsResult:
    """The credit option of the instances named; without names, of those that are unlimited, or were when they were of such a type."""
    wanted_ids = check_ids(request.instance_ids)
    refuse_page_of_ids(wanted_ids, request.max_results, request.next_token)
    wanted = filters.predicate(parse_filters(request.filters), CREDIT_FIELDS)
    page = open_page(services, principal, request, PageBounds(size_min=PAGE_SIZE_MIN))
    raise_if_dry_run(request)
    with services.database.read() as c:
        found = find_visible(c, principal, wanted_ids, now=services.now())
    asked = [each for each in found if (wanted_ids or each.cpu_credits == UNLIMITED) and wanted(each)]
    asked.sort(key=_id)
    told, token = page.cut(asked, _id)
    return ec2.DescribeInstanceCreditSpecificationsResult(
        instance_credit_specifications=[
            ec2.InstanceCreditSpecification(instance_id=each.id, cpu_credits=each.cpu_credits or STANDARD)
            for each in told
        ],
        next_token=token,
    )


def _id(instance: Instance) -> str:
    return instance.id
