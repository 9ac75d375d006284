"""The image id that RunInstances' ImageId stands for: an id, a parameter, a content digest."""

from datetime import datetime

from sqlalchemy import Connection

from amiable.api.ssm.get_parameters import find
from amiable.database import image_digests
from amiable.database.image_digests import Seeker
from amiable.model import ids
from amiable.model.errors import Malformed
from amiable.model.parameter import IMAGE
from amiable.model.parameter_errors import NO_IMAGE, NO_SUCH_ALIAS, ContentNotFound, SsmInvalidParameter, SsmRefusal
from amiable.model.principal import Principal
from amiable.rules.image_alias import read_alias
from amiable.rules.image_digest import write_digest
from amiable.rules.parameters import read_name
from amiable.rules.policy_resources import Home, parameter_resource
from amiable.services.authorization import check_allowed


def resolve_image(c: Connection, principal: Principal, text: str, *, now: datetime) -> str:
    """The image's id; what the caller may do with the image is not asked here.

    Raises InvalidAMIID.Malformed; UnauthorizedOperation where the caller's role may not read the parameter; SsmInvalidParameter where
    there is none, or where it names no image; InvalidAMIID.NotFound where no image that the caller may launch has the content.
    """
    alias = read_alias(text)
    if alias.digest is not None:
        found = image_digests.equal_images(
            c, alias.digest, Seeker(principal.account_id, principal.region, now), limit=1
        )
        if not found:
            raise ContentNotFound(digest=write_digest(alias.digest))
        return found[0]
    if alias.parameter is None:
        assert alias.image_id is not None
        return alias.image_id
    home = Home(principal.account_id, principal.region)
    check_allowed(principal, "ssm:GetParameters", (parameter_resource(home, alias.parameter),))
    try:
        parameter = find(
            c, principal, read_name(alias.parameter, region=principal.region, account_id=principal.account_id)
        )
    except SsmRefusal:
        raise SsmInvalidParameter(
            NO_SUCH_ALIAS.format(reference=alias.parameter),
            hint=f"aws ssm get-parameter --name {alias.parameter}",
        ) from None
    if parameter.data_type != IMAGE:
        raise SsmInvalidParameter(NO_IMAGE)
    if not ids.is_well_formed(ids.AMI, parameter.value):
        raise Malformed("image", parameter.value, ids.AMI)
    return parameter.value
