"""What a launch would refuse of a template's data, told when the data is made: the answer's ``warning``, as on EC2.

The template is made all the same: what it lacks may come before its launch, or with it.  Source: EC2 API, CreateLaunchTemplateResult,
``warning``: "an error code and an error message are returned for each issue that's found".
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from amiable.api.ec2.launch_request import TAGGABLE, asked_of, place_of, refuse_unsupported
from amiable.api.ec2.launch_template_data import request_of
from amiable.api.ec2.tags import birth_tags
from amiable.database import images, key_pairs
from amiable.model.errors import NotFound, Refusal
from amiable.model.principal import Principal
from amiable.rules.devices import check_asked
from amiable.rules.image_alias import read_alias
from amiable.rules.launch import choose_type
from amiable.rules.permission import check_launch
from amiable.wire.generated import ec2


def warning_of(c: Connection, principal: Principal, data: Mapping[str, Any]) -> ec2.ValidationWarning | None:
    """The first refusal of each of a launch's checks; None where they find nothing."""
    request = request_of(dict(data), ec2.RunInstancesRequest(min_count=1, max_count=1))
    checks: tuple[Callable[[], object], ...] = (
        lambda: refuse_unsupported(request),
        lambda: birth_tags(request.tag_specifications, TAGGABLE),
        lambda: place_of(request),
        lambda: check_asked(asked_of(request, None).devices),
        lambda: choose_type(request.instance_type),
        lambda: _find_image(c, principal, request.image_id),
        lambda: _find_key_pair(c, principal, request.key_name),
    )
    found = [refusal for check in checks if (refusal := _refusal_of(check)) is not None]
    if not found:
        return None
    return ec2.ValidationWarning(errors=[ec2.ValidationError(code=each.code, message=each.message) for each in found])


def _refusal_of(check: Callable[[], object]) -> Refusal | None:
    try:
        check()
    except Refusal as refusal:
        return refusal
    return None


def _find_image(c: Connection, principal: Principal, image_id: str | None) -> None:
    """What an alias means is asked at the launch."""
    if image_id is None or read_alias(image_id).image_id is None:
        return
    found = images.get(c, principal.region, image_id, viewer=principal.account_id)
    if found is None:
        raise NotFound("image", [image_id])
    check_launch(found, principal.account_id)


def _find_key_pair(c: Connection, principal: Principal, name: str | None) -> None:
    if name is not None and key_pairs.find_key_pair(c, principal.account_id, principal.region, name) is None:
        raise NotFound("key_pair", [name])
