"""How the metadata service answers: of one instance, and what an account wants for its launches.

A change binds at the instance's next request; its answer says ``pending``, as EC2's does, and whoever asks later reads ``applied``.
An instance that is pending itself asks for nothing yet: its options are, too.
"""

from dataclasses import replace
from typing import Final

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.instance_ids import find_named
from amiable.database import instances, metadata_defaults, tags
from amiable.model.errors import IncorrectInstanceState, InvalidParameterCombination, InvalidParameterValue
from amiable.model.instance import MetadataOptions, State
from amiable.model.metadata_defaults import MetadataDefaults
from amiable.model.principal import Principal
from amiable.rules.metadata_options import (
    HOP_LIMITS,
    NO_HOP_LIMIT,
    NO_PREFERENCE,
    AskedMetadata,
    change,
    check_tag_keys,
)
from amiable.services import Services
from amiable.wire.generated import ec2

ENDED: Final = (State.SHUTTING_DOWN, State.TERMINATED)
TEXTS: Final = ("http_tokens", "http_endpoint", "instance_metadata_tags", "http_tokens_enforced")


def modify_instance_metadata_options(
    services: Services, principal: Principal, request: ec2.ModifyInstanceMetadataOptionsRequest
) -> ec2.ModifyInstanceMetadataOptionsResult:
    """Changes what is said and leaves the rest."""
    asked = AskedMetadata(
        http_tokens=request.http_tokens,
        http_endpoint=request.http_endpoint,
        http_hop_limit=request.http_put_response_hop_limit,
        instance_metadata_tags=request.instance_metadata_tags,
        http_protocol_ipv6=request.http_protocol_ipv6,
    )
    if asked == AskedMetadata():
        raise InvalidParameterCombination("No metadata option is specified.")
    with services.database.write_and_answer() as c:
        (instance,) = find_named(c, principal, [request.instance_id], now=services.now())
        if instance.state in ENDED:
            raise IncorrectInstanceState(
                f"The instance '{instance.id}' is not in a state from which its metadata options can be modified: "
                f"it is {instance.state}."
            )
        options = change(instance.metadata, asked, metadata_defaults.find(c, principal.account_id, principal.region))
        if options.instance_metadata_tags == "enabled":
            check_tag_keys(tags.tags_of(c, principal.account_id, [instance.id]).get(instance.id, {}))
        raise_if_dry_run(request)
        instances.set_metadata_options(c, instance.id, options)
    return ec2.ModifyInstanceMetadataOptionsResult(
        instance_id=instance.id, instance_metadata_options=said(options, state="pending")
    )


def modify_instance_metadata_defaults(
    services: Services, principal: Principal, request: ec2.ModifyInstanceMetadataDefaultsRequest
) -> ec2.ModifyInstanceMetadataDefaultsResult:
    """Changes what is said and leaves the rest; ``no-preference`` and -1 take a default away."""
    hop_limit = request.http_put_response_hop_limit
    if hop_limit is not None and hop_limit not in (NO_HOP_LIMIT, *HOP_LIMITS):
        raise InvalidParameterValue(
            parameter="HttpPutResponseHopLimit",
            value=hop_limit,
            why=f"It is {HOP_LIMITS.start} to {HOP_LIMITS.stop - 1}, or {NO_HOP_LIMIT} for no preference.",
        )
    given = {name: value for name in TEXTS if (value := getattr(request, name)) is not None}
    if not given and hop_limit is None:
        raise InvalidParameterCombination("No metadata default is specified.")
    with services.database.write_and_answer() as c:
        before = metadata_defaults.find(c, principal.account_id, principal.region)
        after = replace(before, **{name: None if value == NO_PREFERENCE else value for name, value in given.items()})
        if hop_limit is not None:
            after = replace(after, http_hop_limit=None if hop_limit == NO_HOP_LIMIT else hop_limit)
        if after.are_tokens_enforced and after.http_tokens == "optional":
            raise InvalidParameterCombination(
                "HttpTokens is optional by default while HttpTokensEnforced is enabled: set HttpTokens to required or no-preference."
            )
        raise_if_dry_run(request)
        metadata_defaults.put(c, principal.account_id, principal.region, after)
    return ec2.ModifyInstanceMetadataDefaultsResult(return_=True)


def get_instance_metadata_defaults(
    services: Services, principal: Principal, request: ec2.GetInstanceMetadataDefaultsRequest
) -> ec2.GetInstanceMetadataDefaultsResult:
    """The account's defaults in the region; what has no preference is left out."""
    raise_if_dry_run(request)
    with services.database.read() as c:
        found = metadata_defaults.find(c, principal.account_id, principal.region)
    level = ec2.InstanceMetadataDefaultsResponse(
        http_tokens=found.http_tokens,
        http_put_response_hop_limit=found.http_hop_limit,
        http_endpoint=found.http_endpoint,
        instance_metadata_tags=found.instance_metadata_tags,
        http_tokens_enforced=found.http_tokens_enforced,
        managed_by=None if found == MetadataDefaults() else "account",
    )
    return ec2.GetInstanceMetadataDefaultsResult(account_level=level)


def said(options: MetadataOptions, *, state: str) -> ec2.InstanceMetadataOptionsResponse:
    """The options as EC2 tells them."""
    return ec2.InstanceMetadataOptionsResponse(
        state=state,
        http_tokens=options.http_tokens,
        http_put_response_hop_limit=options.http_hop_limit,
        http_endpoint=options.http_endpoint,
        http_protocol_ipv6=options.http_protocol_ipv6,
        instance_metadata_tags=options.instance_metadata_tags,
    )
