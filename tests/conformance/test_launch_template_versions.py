"""Versions of launch templates by stock boto3: what they inherit, what lies over what at a launch, warnings, tokens, filters."""

from typing import Any

import pytest

from amiable.model.principal import Principal
from tests.api.ec2.launching import make_image, make_snapshot
from tests.conformance.test_launch_templates import ONE, end, make, refused
from tests.server.edge import Edge
from tests.support.services import make_account

ABSENT_IMAGE = "ami-0123456789abcdef0"


@pytest.fixture(scope="module")
def image_id(edge: Edge) -> str:
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    return make_image(edge.services, owner).id


def test_a_new_version_drops_the_snapshots_of_its_source_unless_it_says_them(
    edge: Edge, ec2: Any, image_id: str
) -> None:
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    snapshot_id = make_snapshot(edge.services, owner, size_gib=1)
    mapping = [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot_id, "VolumeSize": 2}}]
    template_id = ec2.create_launch_template(
        LaunchTemplateName="inherited",
        VersionDescription="the first",
        LaunchTemplateData={"ImageId": image_id, "InstanceType": "amiable.tiny", "BlockDeviceMappings": mapping},
    )["LaunchTemplate"]["LaunchTemplateId"]

    def made(**data: Any) -> Any:
        answer = ec2.create_launch_template_version(
            LaunchTemplateId=template_id, SourceVersion="1", LaunchTemplateData={"EbsOptimized": False, **data}
        )
        return answer["LaunchTemplateVersion"]["LaunchTemplateData"]["BlockDeviceMappings"]

    assert made() == [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2}}]
    (second,) = ec2.describe_launch_template_versions(LaunchTemplateId=template_id, Versions=["2"])[
        "LaunchTemplateVersions"
    ]
    assert "VersionDescription" not in second, "a description is not a parameter of the launch"
    assert made(BlockDeviceMappings=mapping) == mapping
    (launched,) = ec2.run_instances(LaunchTemplate={"LaunchTemplateId": template_id, "Version": "2"}, **ONE)[
        "Instances"
    ]
    on_it = [
        {"Name": "attachment.instance-id", "Values": [launched["InstanceId"]]},
        {"Name": "attachment.device", "Values": ["/dev/sdf"]},
    ]
    (volume,) = ec2.describe_volumes(Filters=on_it)["Volumes"]
    assert (volume["SnapshotId"], volume["Size"]) == ("", 2)
    end(edge, launched["InstanceId"])


def test_a_launch_changes_one_thing_of_its_templates_interface(edge: Edge, ec2: Any, image_id: str) -> None:
    subnet = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"][0]
    group_id = ec2.create_security_group(GroupName="of a template", Description="d", VpcId=subnet["VpcId"])["GroupId"]
    interface = {
        "DeviceIndex": 0,
        "SubnetId": subnet["SubnetId"],
        "Groups": [group_id],
        "Description": "the template's",
    }
    template_id = make(ec2, "interfaces", ImageId=image_id, NetworkInterfaces=[interface])
    asked = {"LaunchTemplate": {"LaunchTemplateId": template_id}, **ONE}
    (made,) = ec2.run_instances(NetworkInterfaces=[{"DeviceIndex": 0, "Description": "of the launch"}], **asked)[
        "Instances"
    ]
    (held,) = made["NetworkInterfaces"]
    assert (held["Description"], held["SubnetId"]) == ("of the launch", subnet["SubnetId"])
    assert [group["GroupId"] for group in held["Groups"]] == [group_id]
    end(edge, made["InstanceId"])
    free = ec2.create_network_interface(SubnetId=subnet["SubnetId"])["NetworkInterface"]["NetworkInterfaceId"]
    there = [{"DeviceIndex": 0, "NetworkInterfaceId": free}]
    (made,) = ec2.run_instances(NetworkInterfaces=there, **asked)["Instances"]
    assert made["NetworkInterfaces"][0]["NetworkInterfaceId"] == free
    end(edge, made["InstanceId"])
    code, message = refused(ec2.run_instances, SubnetId=subnet["SubnetId"], **asked)
    assert code == "InvalidParameterCombination" and "Network interfaces and an instance-level subnet ID" in message


def test_what_a_launch_would_refuse_is_told_when_the_template_is_made(edge: Edge, ec2: Any, image_id: str) -> None:
    def warned(**data: Any) -> list[tuple[str, str]]:
        answer = ec2.create_launch_template_version(LaunchTemplateName="warned", LaunchTemplateData=data)
        return [(each["Code"], each["Message"]) for each in answer.get("Warning", {}).get("Errors", [])]

    first = ec2.create_launch_template(
        LaunchTemplateName="warned", LaunchTemplateData={"ImageId": ABSENT_IMAGE, "KeyName": "absent"}
    )
    codes = [each["Code"] for each in first["Warning"]["Errors"]]
    assert codes == ["InvalidAMIID.NotFound", "InvalidKeyPair.NotFound"]
    assert warned(ImageId=image_id, InstanceType="amiable.tiny") == []
    assert warned(ImageId="resolve:ssm:/later") == []
    _, another = make_account(edge.services, "a stranger of templates")
    private = make_image(edge.services, another).id
    assert warned(ImageId=private) == [("AuthFailure", f"Not authorized for images: [{private}]")]
    ((code, message),) = warned(EnclaveOptions={"Enabled": True})
    assert code == "UnsupportedOperation" and "EnclaveOptions" in message
    assert warned(HibernationOptions={"Configured": False}) == []
    asleep = ("UnsupportedHibernationConfiguration", "The instance type 'm5.large' does not support hibernation.")
    assert warned(HibernationOptions={"Configured": True}, InstanceType="m5.large") == [asleep]
    assert [code for code, _ in warned(InstanceType="t9.huge")] == ["InvalidParameterValue"]
    groups = {"SecurityGroupIds": ["sg-01234567"], "NetworkInterfaces": [{"DeviceIndex": 0}]}
    assert [code for code, _ in warned(**groups)] == ["InvalidParameterCombination"]
    tags = [{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}]
    assert [code for code, _ in warned(TagSpecifications=tags)] == ["InvalidParameterValue"]
    fast = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3", "Iops": 15000}}]
    ratio = "Iops to volume size ratio of 750.000000 is too high; maximum is 500"
    assert warned(BlockDeviceMappings=fast) == [("InvalidParameterValue", ratio)]


def test_a_default_is_set_once_by_one_token_of_up_to_128_characters(ec2: Any) -> None:
    template_id = make(ec2, "set-once")
    ec2.create_launch_template_version(LaunchTemplateId=template_id, LaunchTemplateData={"KeyName": "k"})
    asked = {"LaunchTemplateId": template_id, "ClientToken": "t" * 128}
    first = ec2.modify_launch_template(DefaultVersion="2", **asked)["LaunchTemplate"]
    assert first["DefaultVersionNumber"] == 2
    ec2.modify_launch_template(LaunchTemplateId=template_id, DefaultVersion="1")
    again = ec2.modify_launch_template(DefaultVersion="2", **asked)["LaunchTemplate"]
    assert again["DefaultVersionNumber"] == 1, "what was done is not done again"
    assert refused(ec2.modify_launch_template, DefaultVersion="1", **asked)[0] == "IdempotentParameterMismatch"
    data = {"LaunchTemplateName": "long-token", "LaunchTemplateData": {"KeyName": "k"}}
    assert (
        ec2.create_launch_template(ClientToken="t" * 128, **data)["LaunchTemplate"]["LaunchTemplateName"]
        == "long-token"
    )
    assert refused(ec2.create_launch_template, ClientToken="t" * 129, **data)[0] == "InvalidParameterValue"


def test_versions_are_filtered_by_what_their_data_says(ec2: Any) -> None:
    template_id = make(ec2, "filtered")
    for data in (
        {"MetadataOptions": {"HttpEndpoint": "enabled"}},
        {"NetworkInterfaces": [{"DeviceIndex": 0, "NetworkCardIndex": 0}]},
        {"LicenseSpecifications": [{"LicenseConfigurationArn": "arn:l"}]},
        {"Placement": {"HostResourceGroupArn": "arn:h"}},
    ):
        ec2.create_launch_template_version(LaunchTemplateId=template_id, LaunchTemplateData=data)

    def numbers(name: str, value: str) -> list[int]:
        answer = ec2.describe_launch_template_versions(
            LaunchTemplateId=template_id, Filters=[{"Name": name, "Values": [value]}]
        )
        return [each["VersionNumber"] for each in answer["LaunchTemplateVersions"]]

    assert numbers("http-protocol-ipv4", "enabled") == [2]
    assert numbers("network-card-index", "0") == [3]
    assert numbers("license-configuration-arn", "arn:l") == [4]
    assert numbers("host-resource-group-arn", "arn:h") == [5]
    asked = {"LaunchTemplateId": template_id, "MaxResults": 201}
    assert refused(ec2.describe_launch_template_versions, **asked)[0] == "InvalidParameterValue"
