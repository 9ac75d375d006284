"""CreateLaunchTemplate, DescribeLaunchTemplates, ModifyLaunchTemplate, DeleteLaunchTemplate, and a launch's way from its template.

Versions are ``launch_template_versions``; the forms of their data are ``launch_template_data``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.launch_template_data import check_data, read_data, request_of, values_of, write_data
from amiable.api.ec2.launch_template_warnings import warning_of
from amiable.api.ec2.tags import birth_tags, parse_filters, tag_set
from amiable.api.idempotency import Repeatable, check_token
from amiable.api.paging import open_page
from amiable.database import launch_templates, tags
from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, MissingParameter, UnsupportedOperation
from amiable.model.launch_template import TEMPLATES_MAX, LaunchTemplate, Version
from amiable.model.launch_template_errors import (
    LaunchTemplateIdMalformed,
    LaunchTemplateIdNotFound,
    LaunchTemplateNameExists,
    LaunchTemplateNameNotFound,
    LaunchTemplateVersionNotFound,
    MaxTemplateLimitExceeded,
)
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.launch_template import DEFAULT, Named, check_description, check_name, named, number_of
from amiable.services import Services
from amiable.wire.generated import ec2

TAGGABLE: Final = ("launch-template",)
TEMPLATE_TAG: Final = "aws:ec2launchtemplate:id"
VERSION_TAG: Final = "aws:ec2launchtemplate:version"


@dataclass(frozen=True, slots=True)
class View:
    """A template and the caller's tags of it."""

    template: LaunchTemplate
    tags: Mapping[str, str]


FIELDS: Final[Mapping[str, filters.Field[View]]] = {
    "create-time": lambda it: (f"{it.template.created_at:%Y-%m-%dT%H:%M:%S.000Z}",),
    "launch-template-name": lambda it: (it.template.name,),
}


def find(c: Connection, principal: Principal, wanted: Named) -> LaunchTemplate:
    """The caller's template; raises InvalidLaunchTemplateId.NotFound, InvalidLaunchTemplateName.NotFoundException."""
    found = launch_templates.find_template(c, principal.account_id, principal.region, id_=wanted.id, name=wanted.name)
    if found is None and wanted.id is not None:
        raise LaunchTemplateIdNotFound(template_id=wanted.id)
    if found is None:
        raise LaunchTemplateNameNotFound(name=wanted.name)
    return found


def find_version(c: Connection, template: LaunchTemplate, number: int) -> Version:
    """The template's version; raises InvalidLaunchTemplateId.VersionNotFound."""
    found = launch_templates.find_version(c, template.id, number)
    if found is None:
        raise LaunchTemplateVersionNotFound(version=number, template_id=template.id)
    return found


def create_launch_template(
    services: Services, principal: Principal, request: ec2.CreateLaunchTemplateRequest
) -> ec2.CreateLaunchTemplateResult:
    """Makes a template with its version 1."""
    if request.operator is not None:
        raise UnsupportedOperation("The parameter Operator is not supported by Amiable.")
    check_token(request)
    name = check_name(request.launch_template_name)
    description = check_description(request.version_description)
    check_data(request.launch_template_data)
    data = values_of(request.launch_template_data)
    born = birth_tags(request.tag_specifications, TAGGABLE).get("launch-template", {})
    with services.database.write_and_answer() as c:
        warning = warning_of(c, principal, data)
        once = Repeatable(services, principal, request)
        made = None if request.dry_run else once.recall(c)
        if made is not None:
            return ec2.CreateLaunchTemplateResult(launch_template=_as_it_is(c, principal, made[0]), warning=warning)
        if launch_templates.find_template(c, principal.account_id, principal.region, id_=None, name=name) is not None:
            raise LaunchTemplateNameExists()
        count = launch_templates.count_templates(c, principal.account_id, principal.region)
        if count >= TEMPLATES_MAX:
            raise MaxTemplateLimitExceeded(count=count)
        raise_if_dry_run(request)
        now, who = services.now(), principal.arn
        template = LaunchTemplate(
            services.mint(ids.LAUNCH_TEMPLATE), principal.account_id, principal.region, name, 1, 1, 1, now, who
        )
        first = Version(template.id, 1, description, write_data(data), data.get("image_id"), now, who)
        launch_templates.insert_template(c, template, first)
        tags.put(c, tags.TaggedResource(template.account_id, template.region, template.id, "launch-template"), born)
        once.remember(c, [template.id])
    return ec2.CreateLaunchTemplateResult(launch_template=shown(View(template, born)), warning=warning)


def shown(view: View) -> ec2.LaunchTemplate:
    """The template as an answer has it."""
    it = view.template
    return ec2.LaunchTemplate(
        launch_template_id=it.id,
        launch_template_name=it.name,
        create_time=it.created_at,
        created_by=it.created_by,
        default_version_number=it.default_version,
        latest_version_number=it.latest_version,
        tags=tag_set(view.tags),
    )


def describe_launch_templates(
    services: Services, principal: Principal, request: ec2.DescribeLaunchTemplatesRequest
) -> ec2.DescribeLaunchTemplatesResult:
    """The caller's templates; every id and every name that is asked for must be there."""
    for each in request.launch_template_ids or []:
        if not ids.is_well_formed(ids.LAUNCH_TEMPLATE, each):
            raise LaunchTemplateIdMalformed(template_id=each[:64])
    if request.launch_template_ids and request.launch_template_names:
        raise InvalidParameterCombination("LaunchTemplateIds and LaunchTemplateNames may not be given together.")
    wanted = filters.predicate(parse_filters(request.filters), FIELDS, tags=lambda view: view.tags)
    page = open_page(services, principal, request)
    raise_if_dry_run(request)
    with services.database.read() as c:
        mine = launch_templates.list_templates(c, principal.account_id, principal.region)
        tagged = tags.tags_of(c, principal.account_id, [each.id for each in mine])
    for each in request.launch_template_ids or []:
        if each not in {template.id for template in mine}:
            raise LaunchTemplateIdNotFound(template_id=each)
    for each in request.launch_template_names or []:
        if each not in {template.name for template in mine}:
            raise LaunchTemplateNameNotFound(name=each)
    asked = {*(request.launch_template_ids or []), *(request.launch_template_names or [])}
    views = [View(each, tagged.get(each.id, {})) for each in mine if not asked or asked & {each.id, each.name}]
    chosen = [view for view in views if wanted(view)]
    cut, token = page.cut(chosen, _page_key)
    return ec2.DescribeLaunchTemplatesResult(launch_templates=[shown(view) for view in cut], next_token=token)


def _page_key(view: View) -> str:
    return view.template.id


def modify_launch_template(
    services: Services, principal: Principal, request: ec2.ModifyLaunchTemplateRequest
) -> ec2.ModifyLaunchTemplateResult:
    """Makes another version the default."""
    check_token(request)
    wanted = named(request.launch_template_id, request.launch_template_name)
    if not request.default_version:
        raise MissingParameter(parameter="SetDefaultVersion")
    with services.database.write_and_answer() as c:
        template = find(c, principal, wanted)
        once = Repeatable(services, principal, request)
        made = None if request.dry_run else once.recall(c)
        if made is not None:  # done before: a later call's default stays
            return ec2.ModifyLaunchTemplateResult(launch_template=_as_it_is(c, principal, template.id))
        number = number_of(request.default_version, template, "SetDefaultVersion")
        find_version(c, template, number)
        raise_if_dry_run(request)
        launch_templates.set_default(c, template.id, number)
        once.remember(c, [template.id])
        return ec2.ModifyLaunchTemplateResult(launch_template=_as_it_is(c, principal, template.id))


def delete_launch_template(
    services: Services, principal: Principal, request: ec2.DeleteLaunchTemplateRequest
) -> ec2.DeleteLaunchTemplateResult:
    """Deletes a template with all its versions; instances that were launched from it run on."""
    wanted = named(request.launch_template_id, request.launch_template_name)
    with services.database.write_and_answer() as c:
        template = find(c, principal, wanted)
        raise_if_dry_run(request)
        answer = _as_it_is(c, principal, template.id)
        launch_templates.delete_template(c, template.id)
        tags.forget(c, template.id)
    return ec2.DeleteLaunchTemplateResult(launch_template=answer)


def _as_it_is(c: Connection, principal: Principal, template_id: str) -> ec2.LaunchTemplate:
    template = find(c, principal, Named(template_id, None))
    return shown(View(template, tags.tags_of(c, principal.account_id, [template_id]).get(template_id, {})))


# ── a launch ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def from_template(
    services: Services, principal: Principal, request: ec2.RunInstancesRequest
) -> tuple[ec2.RunInstancesRequest, Mapping[str, str]]:
    """The request, what it leaves open taken from the template that it names, and the tags that tell of it on the instances.

    Without a version the template's default is taken.
    """
    asked = request.launch_template
    if asked is None:
        return request, {}
    wanted = named(asked.launch_template_id, asked.launch_template_name)
    with services.database.read() as c:
        template = find(c, principal, wanted)
        version = find_version(c, template, number_of(asked.version or DEFAULT, template))
    merged = request_of(read_data(version.data), request)
    return merged, {TEMPLATE_TAG: template.id, VERSION_TAG: str(version.number)}
