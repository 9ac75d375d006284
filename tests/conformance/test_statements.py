"""A list costs as many statements for many things as for few: what is told of each comes with all of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from amiable.model.principal import Principal
from tests.api.ec2.launching import make_image
from tests.server.edge import Edge

FEW, MANY = 2, 8
Make = Callable[[Any, int, str], Any]


@pytest.fixture(scope="module")
def image_id(edge: Edge) -> str:
    return make_image(edge.services, Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")).id


@contextmanager
def counted(edge: Edge) -> Iterator[list[str]]:
    """The statements that the server asks meanwhile."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(edge.services.database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(edge.services.database.engine, "before_cursor_execute", note)


def template(ec2: Any, number: int, image_id: str) -> None:
    data = {"ImageId": image_id, "KeyName": "k"}
    made = ec2.create_launch_template(LaunchTemplateName=f"number {number}".replace(" ", "-"), LaunchTemplateData=data)
    template_id = made["LaunchTemplate"]["LaunchTemplateId"]
    ec2.create_launch_template_version(LaunchTemplateId=template_id, LaunchTemplateData=data)


def instance(ec2: Any, number: int, image_id: str) -> None:
    disk = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}]
    launch = {"ImageId": image_id, "InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}
    ec2.run_instances(**launch, BlockDeviceMappings=disk)


def subnet(ec2: Any, number: int, _: str) -> None:
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock=f"172.31.{128 + number}.0/24")


def group(ec2: Any, number: int, _: str) -> None:
    made = ec2.create_security_group(GroupName=f"group {number}", Description="d")
    ec2.authorize_security_group_ingress(
        GroupId=made["GroupId"], IpProtocol="tcp", FromPort=1, ToPort=1, CidrIp="10.0.0.0/8"
    )


def table(ec2: Any, number: int, _: str) -> None:
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    ec2.create_route_table(VpcId=vpc["VpcId"])


@pytest.mark.parametrize(
    ("make", "calls"),
    [
        (template, {"describe_launch_templates": {}, "describe_launch_template_versions": {"Versions": ["$Latest", "$Default"]}}),
        (
            instance,
            {
                "describe_instances": {},
                "describe_instance_status": {"IncludeAllInstances": True},
                "describe_volumes": {},
                "describe_volume_status": {},
                "describe_network_interfaces": {},
                "describe_tags": {},
            },
        ),
        (subnet, {"describe_subnets": {}, "describe_network_acls": {}}),
        (group, {"describe_security_groups": {}, "describe_security_group_rules": {}}),
        (table, {"describe_route_tables": {}}),
    ],
    ids=["templates", "instances", "subnets", "groups", "tables"],
)  # fmt: skip
def test_a_list_costs_no_more_statements_for_more_things(
    edge: Edge, ec2: Any, image_id: str, make: Make, calls: dict[str, dict[str, Any]]
) -> None:
    counts: list[dict[str, int]] = []
    for first, last in ((0, FEW), (FEW, MANY)):
        for number in range(first, last):
            make(ec2, number, image_id)
        found = {}
        for name, parameters in calls.items():
            with counted(edge) as seen:
                getattr(ec2, name)(**parameters)
            found[name] = len(seen)
        counts.append(found)
    assert counts[1] == counts[0]
    assert all(counts[0].values())
