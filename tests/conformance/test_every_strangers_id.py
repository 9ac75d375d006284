"""Two accounts with the same things each: no call of one that names a thing of the other's reads it, changes it, or builds on it.

Every id that EC2 has in a request, at whatever depth, is put there once as the other's, beside what else is the caller's own.  What
comes back is a refusal, or says nothing of the other's; and no row of the database has changed that is the other's, nor holds its ids.
"""

import copy
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import ListShape, Shape, StructureShape
from sqlalchemy import select, update

from amiable.database.schema import instance, metadata
from amiable.model.principal import Principal
from amiable.server.operations import EC2
from amiable.services import Services
from tests.api.ec2.launching import make_image
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services
from tests.wire import oracle

LENIENT = Config(parameter_validation=False, retries={"max_attempts": 0})
NETWORK = "10.9.0.0/16"
ED25519 = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5kZK0tNVhO5zlGUZQwNhkVqHTyr0mEc7xTbYvcvY3d someone"

KINDS = {
    "InstanceId": "instance", "InstanceIds": "instance", "InstanceSpecification.InstanceId": "instance",
    "VolumeId": "volume", "VolumeIds": "volume", "ExcludeDataVolumeIds": "volume",
    "SnapshotId": "snapshot", "SnapshotIds": "snapshot", "SourceSnapshotId": "snapshot",
    "ImageId": "image", "ImageIds": "image", "SourceImageId": "image",
    "VpcId": "vpc", "VpcIds": "vpc", "SubnetId": "subnet", "SubnetIds": "subnet",
    "GroupId": "group", "GroupIds": "group", "SecurityGroupIds": "group", "Groups": "group", "ReferencedGroupId": "group",
    "SecurityGroupRuleId": "rule", "SecurityGroupRuleIds": "rule",
    "NetworkInterfaceId": "interface", "NetworkInterfaceIds": "interface",
    "InternetGatewayId": "gateway", "InternetGatewayIds": "gateway", "GatewayId": "gateway",
    "RouteTableId": "table", "RouteTableIds": "table", "NetworkAclIds": "acl", "DhcpOptionsIds": "options",
    "AllocationId": "allocation", "AllocationIds": "allocation",
    "LaunchTemplateId": "template", "LaunchTemplateIds": "template",
    "KeyPairId": "key", "KeyPairIds": "key", "Resources": "volume", "AttachmentId": "attachment",
}  # fmt: skip
"""Members that name a thing of an account, and which."""
PERMISSIONS = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "IpRanges": [{"CidrIp": "10.9.0.0/16"}]}]
TO_A_GROUP = {"IpPermissions": [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1}]}
ASSOCIATIONS = {
    "DisassociateAddress": "association",
    "DisassociateRouteTable": "table-association",
    "ReplaceRouteTableAssociation": "table-association",
}
OF_RULES = ("AuthorizeSecurityGroup", "RevokeSecurityGroup", "UpdateSecurityGroupRuleDescriptions")
BESIDES: dict[str, dict[str, Any]] = {
    "AssociateIamInstanceProfile": {"IamInstanceProfile": {"Name": "absent"}},
    "AttachVolume": {"Device": "/dev/sdf"},
    "AttachNetworkInterface": {"DeviceIndex": 1},
    **{f"{verb}{way}": {"IpPermissions": PERMISSIONS} for verb in OF_RULES for way in ("Ingress", "Egress")},
    **{f"{verb}{way}.IpPermissions": TO_A_GROUP for verb in OF_RULES for way in ("Ingress", "Egress")},
    "RevokeSecurityGroupIngress.SecurityGroupRuleIds": {},
    "RevokeSecurityGroupEgress.SecurityGroupRuleIds": {},
    "UpdateSecurityGroupRuleDescriptionsIngress.SecurityGroupRuleDescriptions": {},
    "UpdateSecurityGroupRuleDescriptionsEgress.SecurityGroupRuleDescriptions": {},
    "CreateImage": {"Name": "made of it"},
    "CopyImage": {"Name": "a copy", "SourceRegion": "us-east-1"},
    "CopySnapshot": {"SourceRegion": "us-east-1"},
    "CreateRoute": {"DestinationCidrBlock": "0.0.0.0/0"},
    "CreateSecurityGroup": {"GroupName": "new", "Description": "d"},
    "CreateSubnet": {"CidrBlock": "172.31.250.0/24"},
    "CreateTags": {"Tags": [{"Key": "mine", "Value": "now"}]},
    "CreateVolume": {"AvailabilityZone": "us-east-1a"},
    "DeleteRoute": {"DestinationCidrBlock": "0.0.0.0/0"},
    "DescribeImageAttribute": {"Attribute": "launchPermission"},
    "DescribeInstanceAttribute": {"Attribute": "userData"},
    "DescribeNetworkInterfaceAttribute": {"Attribute": "description"},
    "DescribeSnapshotAttribute": {"Attribute": "createVolumePermission"},
    "DescribeVolumeAttribute": {"Attribute": "productCodes"},
    "DescribeVpcAttribute": {"Attribute": "enableDnsSupport"},
    "EnableImageDeprecation": {"DeprecateAt": "2040-01-01T00:00:00Z"},
    "LockSnapshot": {"LockMode": "governance", "LockDuration": 1},
    "ModifyInstanceAttribute": {"DisableApiTermination": {"Value": True}},
    "ModifyImageAttribute": {"Description": {"Value": "mine"}},
    "ModifyNetworkInterfaceAttribute": {"Description": {"Value": "mine"}},
    "ModifySnapshotAttribute": {"Attribute": "createVolumePermission", "OperationType": "add", "UserIds": ["123456789012"]},
    "ModifySubnetAttribute": {"MapPublicIpOnLaunch": {"Value": True}},
    "ModifyVolume": {"Size": 30},
    "ModifyVolumeAttribute": {"AutoEnableIO": {"Value": True}},
    "ModifyVpcAttribute": {"EnableDnsSupport": {"Value": False}},
    "ModifyLaunchTemplate": {"DefaultVersion": "1"},
    "CreateLaunchTemplateVersion": {"LaunchTemplateData": {"InstanceType": "amiable.tiny"}},
    "DeleteLaunchTemplateVersions": {"Versions": ["1"]},
    "DescribeLaunchTemplateVersions": {"Versions": ["1"]},
    "ResetImageAttribute": {"Attribute": "launchPermission"},
    "ResetInstanceAttribute": {"Attribute": "sourceDestCheck"},
    "ResetNetworkInterfaceAttribute": {"SourceDestCheck": "true"},
    "ResetSnapshotAttribute": {"Attribute": "createVolumePermission"},
    "RunInstances": {"MinCount": 1, "MaxCount": 1, "InstanceType": "amiable.tiny"},
    "RegisterImage": {
        "Name": "registered", "RootDeviceName": "/dev/sda1", "VirtualizationType": "hvm",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1"}],
    },
    "RunInstances.BlockDeviceMappings": {
        "MinCount": 1, "MaxCount": 1, "InstanceType": "amiable.tiny", "BlockDeviceMappings": [{"DeviceName": "/dev/sdf"}],
    },
    "RunInstances.NetworkInterfaces": {
        "MinCount": 1, "MaxCount": 1, "InstanceType": "amiable.tiny", "NetworkInterfaces": [{"DeviceIndex": 0}],
    },
    "CreateImage.BlockDeviceMappings": {"Name": "mapped", "BlockDeviceMappings": [{"DeviceName": "/dev/sdf"}]},
    "ModifyInstanceAttribute.Groups": {}, "ModifyInstanceAttribute.BlockDeviceMappings": {
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1"}],
    },
    "ModifyInstanceMetadataOptions": {"HttpTokens": "required"},
    "ModifyNetworkInterfaceAttribute.Groups": {},
    "ModifyNetworkInterfaceAttribute.Attachment": {"Attachment": {"DeleteOnTermination": True}},
    "ModifySecurityGroupRules": {
        "SecurityGroupRules": [{"SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "CidrIpv4": NETWORK}}]
    },
    "AttachImageWatermark": {"WatermarkName": "mine"}, "DetachImageWatermark": {"WatermarkKey": "mine"},
    "DescribeImageReferences": {"IncludeAllResourceTypes": True},
    "CreateImageUsageReport": {"ResourceTypes": [{"ResourceType": "ec2:Instance"}]},
    "ConfirmProductInstance": {"ProductCode": "0123456789ABCDEF01234567"},
    "BundleInstance": {"Storage": {"S3": {"Bucket": "b", "Prefix": "p"}}},
    "GetInstanceTpmEkPub": {"KeyType": "rsa-2048", "KeyFormat": "der"},
}  # fmt: skip
"""What else a call needs to be a whole one."""
NEEDS: dict[str, tuple[str, ...]] = {
    "AssociateAddress": ("AllocationId", "InstanceId"),
    "CreateReplaceRootVolumeTask": ("InstanceId",),
    "CreateVolume": (),
    "RunInstances": ("ImageId",),
    **{f"{verb}{way}": ("GroupId",) for verb in OF_RULES for way in ("Ingress", "Egress")},
    "AssociateAddress.NetworkInterfaceId": ("AllocationId",),
    "CreateRoute": ("RouteTableId", "GatewayId"),
    "CreateRoute.InstanceId": ("RouteTableId",),
    "CreateRoute.NetworkInterfaceId": ("RouteTableId",),
    "CreateLaunchTemplateVersion": ("LaunchTemplateId",),
    "ReleaseAddress": ("AllocationId",),
    "ReplaceRoute": ("GatewayId",),
    "AssociateRouteTable": ("SubnetId",),
}
"""Members that EC2's model does not require, and a whole call has: the caller's own."""


def things(services: Services, edge: Edge, client: Any) -> dict[str, str]:
    """One of each kind, made by the account; kind → id."""
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    image = make_image(services, owner)
    vpc = client.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnet = client.describe_subnets()["Subnets"][0]["SubnetId"]
    launched = client.run_instances(ImageId=image.id, InstanceType="amiable.tiny", MinCount=1, MaxCount=1)["Instances"]
    with services.database.write() as c:
        c.execute(update(instance).where(instance.c.id == launched[0]["InstanceId"]).values(state="running"))
    group = client.create_security_group(GroupName="g", Description="d")["GroupId"]
    rules = client.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 2, "ToPort": 2, "IpRanges": [{"CidrIp": NETWORK}]}]
    )  # fmt: skip
    table = client.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    allocation = client.allocate_address()["AllocationId"]
    free = client.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    data = {"ImageId": image.id, "InstanceType": "amiable.tiny"}
    return {
        "image": image.id,
        "snapshot": str(image.devices[0].snapshot_id),
        "instance": launched[0]["InstanceId"],
        "attachment": launched[0]["NetworkInterfaces"][0]["Attachment"]["AttachmentId"],
        "volume": client.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"],
        "vpc": vpc,
        "subnet": subnet,
        "group": group,
        "rule": rules["SecurityGroupRules"][0]["SecurityGroupRuleId"],
        "interface": free,
        "gateway": client.describe_internet_gateways()["InternetGateways"][0]["InternetGatewayId"],
        "table": table,
        "table-association": client.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"],
        "acl": client.describe_network_acls()["NetworkAcls"][0]["NetworkAclId"],
        "options": client.describe_dhcp_options()["DhcpOptions"][0]["DhcpOptionsId"],
        "allocation": allocation,
        "association": client.associate_address(AllocationId=allocation, NetworkInterfaceId=free)["AssociationId"],
        "template": client.create_launch_template(LaunchTemplateName="temp", LaunchTemplateData=data)["LaunchTemplate"][
            "LaunchTemplateId"
        ],
        "key": client.import_key_pair(KeyName="k", PublicKeyMaterial=ED25519)["KeyPairId"],
    }


class Scene:
    """The edge, whose account calls, and what it and the other have."""

    def __init__(self, edge: Edge, client: Any, mine: dict[str, str], others: dict[str, str], other_id: str) -> None:
        self.edge, self.client, self.mine, self.others, self.other_id = edge, client, mine, others, other_id

    def rows(self) -> set[str]:
        """Every row that is the other's, or tells an id of its things."""
        found = set()
        words = {self.other_id, *self.others.values()}
        with self.edge.services.database.read() as c:
            for table in metadata.sorted_tables:
                if table.name == "event":  # what the caller asked is told in its own log
                    continue
                for row in c.execute(select(table)):
                    text = f"{table.name} {tuple(row)!r}"
                    if any(word in text for word in words):
                        found.add(text)
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with open_services(tmp_path_factory.mktemp("strangers") / "data") as services:
        me, _ = make_account(services, "me")
        other, _ = make_account(services, "other")
        with running_edge(services, me) as edge, closing(edge.client("ec2", config=LENIENT)) as client:
            theirs = Edge(services, edge.port, other)
            with closing(theirs.client("ec2")) as its_client:
                others = things(services, theirs, its_client)
            yield Scene(edge, client, things(services, edge, client), others, other.account_id)


def places(shape: Shape | None, path: tuple[str, ...] = (), depth: int = 0) -> Iterator[tuple[str, ...]]:
    """The ways to the members that name something."""
    if depth > 5:
        return
    if isinstance(shape, ListShape):
        yield from places(shape.member, (*path, "[]"), depth + 1)
    elif isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            if name in KINDS or name == "AssociationId":
                yield (*path, name, "[]") if isinstance(member, ListShape) else (*path, name)
            elif name not in ("Filters", "LaunchTemplateData"):  # a template is only text, until it is launched
                yield from places(member, (*path, name), depth + 1)


def put(into: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    """Puts the value there, over what is there."""
    at: Any = into
    for step, following in zip(path, (*path[1:], None), strict=True):
        if step == "[]":
            if following is None:
                at[:] = [value]
                return
            at[:] = at or [{}]
            at = at[0]
        elif following is None:
            at[step] = value
        else:
            at = at.setdefault(step, [] if following == "[]" else {})


def kind_of(operation: str, path: tuple[str, ...]) -> str | None:
    """Which kind of thing the member names; None where that is none of the accounts'."""
    name = next(step for step in reversed(path) if step != "[]")
    return ASSOCIATIONS.get(operation) if name == "AssociationId" else KINDS[name]


def cases() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each operation with each of its places."""
    for operation in EC2:
        for path in places(oracle.model("ec2").operation_model(operation).input_shape):
            if kind_of(operation, path) is not None:
                yield operation, path


@pytest.mark.parametrize(("operation", "path"), [*cases()], ids=lambda it: it if isinstance(it, str) else ".".join(it))
def test_a_call_that_names_a_thing_of_anothers_gets_and_changes_nothing_of_it(
    scene: Scene, operation: str, path: tuple[str, ...]
) -> None:
    shape = oracle.model("ec2").operation_model(operation).input_shape
    assert shape is not None
    members: dict[str, Any] = {}
    for name in [*shape.required_members, *NEEDS.get(f"{operation}.{path[0]}", NEEDS.get(operation, ()))]:
        if name in KINDS or (name == "AssociationId" and operation in ASSOCIATIONS):
            own = (name, "[]") if isinstance(shape.members[name], ListShape) else (name,)
            put(members, own, scene.mine[str(kind_of(operation, own))])
    besides = BESIDES.get(f"{operation}.{path[0]}", BESIDES.get(operation, {}))
    for name, value in besides.items():
        members.setdefault(name, copy.deepcopy(value))
    kind = kind_of(operation, path)
    assert kind is not None
    put(members, path, scene.others[kind])
    before = scene.rows()
    try:
        answer: Any = scene.client._make_api_call(operation, members)
    except ClientError as refused:
        assert refused.response["ResponseMetadata"]["HTTPStatusCode"] < 500
        answer = None
    assert scene.rows() == before
    if answer is not None:
        said = {word for word in (scene.other_id, *scene.others.values()) if word in repr(answer)}
        assert said <= {scene.others[kind]}, "it may only say again what was asked"
