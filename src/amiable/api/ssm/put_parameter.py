"""PutParameter: a parameter, or its next version.

A String of data type ``aws:ec2:image`` is checked in the call: AWS accepts it and drops it later without a word.  What a channel shows
is its channel's to change.
"""

from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from amiable.api.ssm.values import channels_own, own_parameter, seal
from amiable.database import images, parameters
from amiable.model import ids
from amiable.model.errors import AuthFailure, InvalidAMIIDUnavailable, NotFound, UnsupportedOperation
from amiable.model.image import ImageType
from amiable.model.parameter import IMAGE, Parameter, ParameterType
from amiable.model.parameter_errors import SsmRefusal
from amiable.model.principal import Principal
from amiable.rules import parameters as rules
from amiable.rules.permission import check_launch
from amiable.services import Services
from amiable.services.allowed_images import check_allowed
from amiable.services.allowed_pattern import check_allowed_pattern
from amiable.wire.generated import ssm

EXISTS: Final = (
    "The parameter already exists. To overwrite this value, set the overwrite option in the request to true."
)


def put_parameter(services: Services, principal: Principal, request: ssm.PutParameterRequest) -> ssm.PutParameterResult:
    """Makes a parameter, or with Overwrite its next version; answers its number."""
    name = request.name.strip(" ")
    rules.check_name(
        name,
        region=principal.region,
        account_id=principal.account_id,
        is_administrator=principal.is_administrator,
    )
    tags = _check_extras(request)
    with services.database.read() as c:
        pattern = _plan(services, principal, request, name, own_parameter(c, principal, name)).allowed_pattern
    if pattern is not None:  # in a process of its own: not while others wait to write
        check_allowed_pattern(pattern, request.value)
    with services.database.write_and_answer() as c:
        before = own_parameter(c, principal, name)
        planned = _plan(services, principal, request, name, before)
        if planned.allowed_pattern != pattern:
            raise SsmRefusal("TooManyUpdates", f"The parameter {name} is being changed by another request.")
        _check_count(c, planned, before)
        if planned.data_type == IMAGE:
            _check_image(services, c, principal, planned.value)
        try:
            parameters.put_version(c, planned)
        except IntegrityError:
            raise SsmRefusal("ParameterAlreadyExists", EXISTS) from None
        parameters.put_tags(c, planned, tags)
    return ssm.PutParameterResult(version=planned.version, tier=planned.tier.value)


def _check_extras(request: ssm.PutParameterRequest) -> dict[str, str]:
    """The tags; refuses what cannot be kept, and tags of what is there already."""
    if request.policies is not None and request.policies.strip() not in ("", "[]", "{}"):
        raise UnsupportedOperation("Parameter policies are not implemented by Amiable.")
    if request.overwrite and request.tags:
        raise SsmRefusal(
            "ValidationException",
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite "
            "flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.",
        )
    return rules.check_tags([(tag.key, tag.value) for tag in request.tags or ()])


def _plan(
    services: Services, principal: Principal, request: ssm.PutParameterRequest, name: str, before: Parameter | None
) -> Parameter:
    """The version that the request makes; what it does not say stays as it was."""
    if before is not None and before.channel is not None:
        raise channels_own(before)
    if before is not None and not request.overwrite:
        raise SsmRefusal("ParameterAlreadyExists", EXISTS)
    type_ = rules.choose_type(request.type, before)
    tier = rules.choose_tier(request.tier, request.value, before)
    rules.check_value(request.value, tier)
    kept = before.allowed_pattern if before else None
    return Parameter(
        account_id=principal.account_id,
        region=principal.region,
        name=name,
        version=before.version + 1 if before else 1,
        type=type_,
        value=seal(services, principal, name, request.value) if type_ is ParameterType.SECURE_STRING else request.value,
        data_type=rules.choose_data_type(request.data_type, type_, before),
        description=request.description if request.description is not None else before.description if before else None,
        allowed_pattern=request.allowed_pattern or kept,
        key_id=_key_id(request.key_id, type_),
        tier=tier,
        modified_at=services.now(),
        modified_by=principal.arn,
    )


def _key_id(asked: str | None, type_: ParameterType) -> str | None:
    """The installation's own key: there is no other."""
    if type_ is not ParameterType.SECURE_STRING:
        if asked is not None:
            raise SsmRefusal("ValidationException", f"KeyId is for SecureString only, not for {type_}.")
        return None
    if asked not in (None, rules.DEFAULT_KEY):
        raise SsmRefusal(
            "InvalidKeyId", f"Key {asked} does not exist: parameters are sealed by {rules.DEFAULT_KEY} only."
        )
    return rules.DEFAULT_KEY


def _check_count(c: Connection, planned: Parameter, before: Parameter | None) -> None:
    if before is not None and before.tier is planned.tier:
        return
    count_max = rules.PARAMETERS_MAX[planned.tier]
    if parameters.count_parameters(c, planned.account_id, planned.region, planned.tier) >= count_max:
        raise SsmRefusal(
            "ParameterLimitExceeded",
            f"You have exceeded the number of parameters for this account: {count_max} {planned.tier} parameters.",
        )


def _check_image(services: Services, c: Connection, principal: Principal, image_id: str) -> None:
    """Refuses what is no image that the account may launch now."""
    why = None
    if not ids.is_well_formed(ids.AMI, image_id):
        why = "it is no image id"
    else:
        image = images.get(c, principal.region, image_id, viewer=principal.account_id)
        try:
            if image is None or image.image_type is not ImageType.MACHINE:
                why = "there is no such image in this region"
            else:
                check_allowed(services, c, principal, image)
                check_launch(image, principal.account_id)
        except NotFound:
            why = "the account's allowed images settings hide it"
        except AuthFailure:
            why = "the account may not launch it"
        except InvalidAMIIDUnavailable:
            why = "the image is not available"
    if why is not None:
        raise SsmRefusal("ValidationException", f"{image_id} is not valid for the data type {IMAGE}: {why}.")
