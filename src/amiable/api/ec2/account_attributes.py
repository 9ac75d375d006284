"""DescribeAccountAttributes: what clients probe to tell where they are, and how much of it they may have."""

from collections.abc import Callable, Mapping
from typing import Final

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.addresses import ADDRESSES_MAX
from amiable.database import network
from amiable.model.errors import InvalidParameterValue
from amiable.model.network import Vpc
from amiable.model.principal import Principal
from amiable.rules.security_group import GROUPS_PER_INTERFACE_MAX
from amiable.services import Services
from amiable.wire.generated import ec2

ATTRIBUTES: Final[Mapping[str, Callable[[Services, Vpc | None], str]]] = {
    "supported-platforms": lambda services, vpc: "VPC",
    "default-vpc": lambda services, vpc: "none" if vpc is None else vpc.id,
    "max-instances": lambda services, vpc: str(services.settings.instances_max),
    "vpc-max-security-groups-per-interface": lambda services, vpc: str(GROUPS_PER_INTERFACE_MAX),
    "max-elastic-ips": lambda services, vpc: str(ADDRESSES_MAX),
    "vpc-max-elastic-ips": lambda services, vpc: str(ADDRESSES_MAX),
}


def describe_account_attributes(
    services: Services, principal: Principal, request: ec2.DescribeAccountAttributesRequest
) -> ec2.DescribeAccountAttributesResult:
    """The attributes that are named, or all."""
    for name in request.attribute_names or []:
        if name not in ATTRIBUTES:
            raise InvalidParameterValue(
                parameter="attributeName", value=name, why=f"Expecting one of {', '.join(ATTRIBUTES)}."
            )
    raise_if_dry_run(request)
    with services.database.read() as c:
        vpc = network.find_default_vpc(c, principal.account_id, principal.region)
    return ec2.DescribeAccountAttributesResult(
        account_attributes=[
            ec2.AccountAttribute(
                attribute_name=name,
                attribute_values=[ec2.AccountAttributeValue(attribute_value=read(services, vpc))],
            )
            for name, read in ATTRIBUTES.items()
            if not request.attribute_names or name in request.attribute_names
        ]
    )
