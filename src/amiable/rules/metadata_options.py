"""How the metadata service answers an instance: chosen at launch, changed later.

    what the launch says  ─▶  the account's default  ─▶  the image (``imds-support: v2.0``: tokens required, two hops)  ─▶  EC2's own

The first that says anything decides, option by option.  Source: EC2 user guide, "Order of precedence for instance metadata options".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from amiable.model.errors import InvalidParameterValue, UnsupportedOperation
from amiable.model.instance import MetadataOptions
from amiable.model.metadata_defaults import MetadataDefaults

HOP_LIMITS: Final = range(1, 65)
NO_PREFERENCE: Final = "no-preference"
NO_HOP_LIMIT: Final = -1
RESERVED_KEYS: Final = (".", "..", "_index")

ENFORCED: Final = (
    "You can't {verb} because httpTokensEnforced is enabled for this account. "
    "Either {instead} with httpTokens=required or contact your account owner to disable httpTokensEnforced "
    "using the ModifyInstanceMetadataDefaults API or the account settings in the EC2 console."
)
_KEY: Final = re.compile(r"[0-9a-zA-Z\-_+=,.@:]{1,255}", re.ASCII)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AskedMetadata:
    """The request's metadata options; None: not said."""

    http_tokens: str | None = None
    http_endpoint: str | None = None
    http_hop_limit: int | None = None
    instance_metadata_tags: str | None = None
    http_protocol_ipv6: str | None = None


def choose(asked: AskedMetadata, defaults: MetadataDefaults, *, is_v2_image: bool) -> MetadataOptions:
    """The options of a launch; refuses values that are none, and ``optional`` where the account enforces tokens."""
    chosen = MetadataOptions(
        http_tokens=_first(asked.http_tokens, defaults.http_tokens, "required" if is_v2_image else "optional"),
        http_endpoint=_first(asked.http_endpoint, defaults.http_endpoint, "enabled"),
        http_hop_limit=_first(asked.http_hop_limit, defaults.http_hop_limit, 2 if is_v2_image else 1),
        instance_metadata_tags=_first(asked.instance_metadata_tags, defaults.instance_metadata_tags, "disabled"),
        http_protocol_ipv6=_first(asked.http_protocol_ipv6, None, "disabled"),
    )
    _check(chosen)
    if defaults.are_tokens_enforced and chosen.http_tokens == "optional":
        raise UnsupportedOperation(ENFORCED.format(verb="launch instances with IMDSv1", instead="launch the instance"))
    return chosen


def change(options: MetadataOptions, asked: AskedMetadata, defaults: MetadataDefaults) -> MetadataOptions:
    """The options of an instance after a change; what is not said stays.  Refuses as :func:`choose` does."""
    if defaults.are_tokens_enforced and asked.http_tokens == "optional":
        raise UnsupportedOperation(ENFORCED.format(verb="change httpTokens to optional", instead="keep the instance"))
    changed = replace(
        options,
        http_tokens=_first(asked.http_tokens, None, options.http_tokens),
        http_endpoint=_first(asked.http_endpoint, None, options.http_endpoint),
        http_hop_limit=_first(asked.http_hop_limit, None, options.http_hop_limit),
        instance_metadata_tags=_first(asked.instance_metadata_tags, None, options.instance_metadata_tags),
        http_protocol_ipv6=_first(asked.http_protocol_ipv6, None, options.http_protocol_ipv6),
    )
    _check(changed)
    return changed


def check_hop_limit(hop_limit: int) -> None:
    """Refuses a hop limit that no answer can have."""
    if hop_limit not in HOP_LIMITS:
        raise InvalidParameterValue(
            parameter="HttpPutResponseHopLimit",
            value=hop_limit,
            why=f"It is {HOP_LIMITS.start} to {HOP_LIMITS.stop - 1}.",
        )


def check_tag_keys(keys: Iterable[str]) -> None:
    """Refuses keys that cannot stand in a path, of an instance whose tags the metadata service tells."""
    for key in keys:
        if not _KEY.fullmatch(key) or key in RESERVED_KEYS:
            raise InvalidParameterValue(
                f"'{key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{{1,255}}), "
                "and must not be a reserved name ('.', '..', '_index')",
                hint="the instance has InstanceMetadataTags enabled: disable it, or choose another key",
            )


def _first(asked: T | None, default: T | None, otherwise: T) -> T:
    return asked if asked is not None else default if default is not None else otherwise


def _check(options: MetadataOptions) -> None:
    check_hop_limit(options.http_hop_limit)
    switch = ("disabled", "enabled")
    for parameter, value, allowed in (
        ("HttpTokens", options.http_tokens, ("optional", "required")),
        ("HttpEndpoint", options.http_endpoint, switch),
        ("InstanceMetadataTags", options.instance_metadata_tags, switch),
        ("HttpProtocolIpv6", options.http_protocol_ipv6, switch),
    ):
        if value not in allowed:
            raise InvalidParameterValue(parameter=parameter, value=value, why=f"Allowed: {', '.join(allowed)}.")
