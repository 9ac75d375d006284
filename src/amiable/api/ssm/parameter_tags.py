"""AddTagsToResource, RemoveTagsFromResource, ListTagsForResource: of the account's own parameters."""

from typing import Final

from sqlalchemy import Connection

from amiable.api.ssm.values import own_parameter
from amiable.database import parameters
from amiable.model.parameter import Parameter
from amiable.model.parameter_errors import SsmRefusal
from amiable.model.principal import Principal
from amiable.rules.parameters import TAGS_MAX, check_tags
from amiable.services import Services
from amiable.wire.generated import ssm

PARAMETER: Final = "Parameter"
KEYS_MAX: Final = 1000


def add_tags_to_resource(
    services: Services, principal: Principal, request: ssm.AddTagsToResourceRequest
) -> ssm.AddTagsToResourceResult:
    """Tags a parameter; a key that it has already gets the new value."""
    added = check_tags([(tag.key, tag.value) for tag in request.tags])
    with services.database.write_and_answer() as c:
        found = _tagged(c, principal, request.resource_type, request.resource_id)
        kept = parameters.tags_of(c, found)
        if len(kept | added) > TAGS_MAX:
            raise SsmRefusal("TooManyTagsError", f"A parameter may have {TAGS_MAX} tags.")
        parameters.remove_tags(c, found, list(added))
        parameters.put_tags(c, found, added)
    return ssm.AddTagsToResourceResult()


def remove_tags_from_resource(
    services: Services, principal: Principal, request: ssm.RemoveTagsFromResourceRequest
) -> ssm.RemoveTagsFromResourceResult:
    """Takes tags off a parameter; keys that it has not are no error."""
    if len(request.tag_keys) > KEYS_MAX:
        raise SsmRefusal("ValidationException", f"TagKeys: {KEYS_MAX} at most in one request.")
    with services.database.write_and_answer() as c:
        found = _tagged(c, principal, request.resource_type, request.resource_id)
        parameters.remove_tags(c, found, request.tag_keys)
    return ssm.RemoveTagsFromResourceResult()


def list_tags_for_resource(
    services: Services, principal: Principal, request: ssm.ListTagsForResourceRequest
) -> ssm.ListTagsForResourceResult:
    """A parameter's tags, by key."""
    with services.database.read() as c:
        found = _tagged(c, principal, request.resource_type, request.resource_id)
        tags = parameters.tags_of(c, found)
    return ssm.ListTagsForResourceResult(tag_list=[ssm.Tag(key=key, value=value) for key, value in tags.items()])


def _tagged(c: Connection, principal: Principal, resource_type: str, resource_id: str) -> Parameter:
    if resource_type != PARAMETER:
        raise SsmRefusal("InvalidResourceType", f"{resource_type} is not valid here: only a {PARAMETER} is tagged.")
    found = own_parameter(c, principal, resource_id.strip(" "))
    if found is None:
        raise SsmRefusal(
            "InvalidResourceId",
            f"The resource ID {resource_id} isn't valid. Verify that you entered the correct ID and try again.",
        )
    return found
