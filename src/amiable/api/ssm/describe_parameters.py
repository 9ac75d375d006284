"""Lists of parameters: by path with values, all without them, and the versions of one."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Final

import msgspec

from amiable.api.paging import Page, Paged, open_page
from amiable.api.ssm.values import not_found, open_value, told
from amiable.database import parameters
from amiable.model.parameter import Parameter
from amiable.model.parameter_errors import SsmRefusal
from amiable.model.principal import Principal
from amiable.rules import parameter_filters
from amiable.rules import parameters as rules
from amiable.rules.parameter_filters import Filter
from amiable.services import Services
from amiable.wire.generated import ssm

BY_PATH_MAX: Final = 10
PAGE_MAX: Final = 50


def get_parameters_by_path(
    services: Services, principal: Principal, request: ssm.GetParametersByPathRequest
) -> ssm.GetParametersByPathResult:
    """The parameters below a hierarchy, by name, ten a page at most."""
    path = rules.check_path(request.path)
    filters = _filters(request.parameter_filters, parameter_filters.BY_PATH)
    page = _open_page(services, principal, request, size_max=BY_PATH_MAX)
    with services.database.read() as c:
        below = parameters.walk_parameters(c, principal.account_id, principal.region, path=path, after=page.after or "")
        wanted = (
            each
            for each in below
            if rules.is_below(each.name, path, recursive=bool(request.recursive))
            and parameter_filters.matches(each, {}, filters)
        )
        found = _one_more(page, wanted)
    shown, token = page.cut(found, _name)
    answer = [told(services, each, None, bool(request.with_decryption)) for each in shown]
    return ssm.GetParametersByPathResult(parameters=answer, next_token=token)


def describe_parameters(
    services: Services, principal: Principal, request: ssm.DescribeParametersRequest
) -> ssm.DescribeParametersResult:
    """The account's own parameters without their values, by name, fifty a page at most; none is shared from another account."""
    if request.filters and request.parameter_filters:
        raise SsmRefusal("ValidationException", "You can use either Filters or ParameterFilters in a single request.")
    filters = _filters(request.parameter_filters, parameter_filters.DESCRIBE)
    for old in request.filters or ():
        option = "BeginsWith" if old.key == "Name" else None
        filters.append(parameter_filters.check_filter(old.key, option, old.values, keys=parameter_filters.DESCRIBE))
    page = _open_page(services, principal, request, size_max=PAGE_MAX)
    with services.database.read() as c:
        account, region = principal.account_id, principal.region
        mine = () if request.shared else parameters.walk_parameters(c, account, region, after=page.after or "")
        tags = parameters.tags_of_all(c, account, region)
        wanted = (each for each in mine if parameter_filters.matches(each, tags.get(each.name, {}), filters))
        found = _one_more(page, wanted)
    shown, token = page.cut(found, _name)
    return ssm.DescribeParametersResult(parameters=[_metadata(each) for each in shown], next_token=token)


def get_parameter_history(
    services: Services, principal: Principal, request: ssm.GetParameterHistoryRequest
) -> ssm.GetParameterHistoryResult:
    """Every kept version of one of the account's parameters, oldest first, fifty a page at most."""
    name = request.name.strip(" ")
    page = _open_page(services, principal, request, size_max=PAGE_MAX)
    with services.database.read() as c:
        versions = parameters.history(c, principal.account_id, principal.region, name)
    if not versions:
        raise not_found(name)
    shown, token = page.cut(versions, _number)
    answer = [_past(services, each, bool(request.with_decryption)) for each in shown]
    return ssm.GetParameterHistoryResult(parameters=answer, next_token=token)


def _open_page(services: Services, principal: Principal, request: Paged, *, size_max: int) -> Page:
    """The page asked for; without a size the largest."""
    size = request.max_results
    if size is not None and not 1 <= size <= size_max:
        than = "less than or equal to " + str(size_max) if size > size_max else "greater than or equal to 1"
        raise SsmRefusal(
            "ValidationException",
            f"1 validation error detected: Value '{size}' at 'maxResults' failed to satisfy constraint: Member must have value {than}",
        )
    return replace(open_page(services, principal, request), size=size or size_max)


def _one_more(page: Page, wanted: Iterable[Parameter]) -> list[Parameter]:
    """What the page shows, and one more where there is one; nothing behind it is read."""
    assert page.size is not None
    return list(islice(wanted, page.size + 1))


def _name(parameter: Parameter) -> str:
    return parameter.name


def _number(parameter: Parameter) -> str:
    return f"{parameter.version:010d}"


def _filters(asked: list[ssm.ParameterStringFilter] | None, keys: tuple[str, ...]) -> list[Filter]:
    found = [parameter_filters.check_filter(each.key, each.option, each.values, keys=keys) for each in asked or ()]
    parameter_filters.check_once(found)
    return found


def _metadata(found: Parameter) -> ssm.ParameterMetadata:
    return ssm.ParameterMetadata(
        name=found.name,
        arn=found.arn,
        type=found.type.value,
        key_id=found.key_id,
        last_modified_date=found.modified_at,
        last_modified_user=found.modified_by,
        description=found.description,
        allowed_pattern=found.allowed_pattern,
        version=found.version,
        tier=found.tier.value,
        policies=[],
        data_type=found.data_type,
    )


def _past(services: Services, found: Parameter, is_opened: bool) -> ssm.ParameterHistory:
    facts = msgspec.structs.asdict(_metadata(found))
    del facts["arn"]
    return ssm.ParameterHistory(**facts, value=open_value(services, found, is_opened), labels=[])
