"""Launch templates as stock boto3 asks for them: versions, defaults, launches, what they keep, and every refusal in EC2's words."""

import base64
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amiable.database import instances
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import make_image
from tests.conformance.test_roles import EC2_TRUST
from tests.server.edge import Edge
from tests.support.services import make_account

ONE = {"MinCount": 1, "MaxCount": 1}
ABSENT = "lt-0123456789abcdef0"


@pytest.fixture(scope="module")
def image_id(edge: Edge) -> str:
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    return make_image(edge.services, owner).id


def refused(call: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def make(ec2: Any, name: str, **data: Any) -> str:
    made = ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"InstanceType": "amiable.tiny", **data}
    )
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def end(edge: Edge, instance_id: str) -> None:
    with edge.services.database.write() as c:
        instances.set_state(c, instance_id, Event.LAUNCH_FAILED, now=edge.services.now())


@pytest.mark.proves(
    "ec2",
    "CreateLaunchTemplate",
    "CreateLaunchTemplateVersion",
    "DescribeLaunchTemplates",
    "DescribeLaunchTemplateVersions",
    "ModifyLaunchTemplate",
    "DeleteLaunchTemplateVersions",
    "DeleteLaunchTemplate",
)
def test_a_template_and_its_versions_come_and_go(ec2: Any, image_id: str) -> None:
    tags = [{"ResourceType": "launch-template", "Tags": [{"Key": "team", "Value": "a"}]}]
    data = {"ImageId": image_id, "InstanceType": "t3.micro", "UserData": base64.b64encode(b"#!/bin/sh\n").decode()}
    first = ec2.create_launch_template(
        LaunchTemplateName="web", VersionDescription="first", LaunchTemplateData=data, TagSpecifications=tags
    )["LaunchTemplate"]
    template_id = first["LaunchTemplateId"]
    assert (first["DefaultVersionNumber"], first["LatestVersionNumber"]) == (1, 1)
    assert first["Tags"] == [{"Key": "team", "Value": "a"}]

    second = ec2.create_launch_template_version(
        LaunchTemplateName="web", SourceVersion="1", LaunchTemplateData={"InstanceType": "amiable.tiny"}
    )["LaunchTemplateVersion"]
    assert (second["VersionNumber"], second["DefaultVersion"]) == (2, False)
    assert second["LaunchTemplateData"] == {**data, "InstanceType": "amiable.tiny"}
    bare = ec2.create_launch_template_version(LaunchTemplateId=template_id, LaunchTemplateData={"KeyName": "k"})
    assert bare["LaunchTemplateVersion"]["LaunchTemplateData"] == {"KeyName": "k"}

    def numbers(**parameters: Any) -> list[int]:
        answer = ec2.describe_launch_template_versions(LaunchTemplateId=template_id, **parameters)
        return [each["VersionNumber"] for each in answer["LaunchTemplateVersions"]]

    assert numbers() == [3, 2, 1]
    assert numbers(Versions=["$Latest", "$Default", "1"]) == [3, 1]
    assert numbers(MinVersion="2") == [3, 2] and numbers(MaxVersion="$Default") == [1]
    assert numbers(Filters=[{"Name": "image-id", "Values": [image_id]}]) == [2, 1]
    everywhere = ec2.describe_launch_template_versions(Versions=["$Latest"])["LaunchTemplateVersions"]
    assert (template_id, 3) in [(each["LaunchTemplateId"], each["VersionNumber"]) for each in everywhere]

    changed = ec2.modify_launch_template(LaunchTemplateId=template_id, DefaultVersion="2")["LaunchTemplate"]
    assert changed["DefaultVersionNumber"] == 2
    gone = ec2.delete_launch_template_versions(LaunchTemplateId=template_id, Versions=["3", "2", "9"])
    assert [it["VersionNumber"] for it in gone["SuccessfullyDeletedLaunchTemplateVersions"]] == [3]
    failed = {it["VersionNumber"]: it["ResponseError"] for it in gone["UnsuccessfullyDeletedLaunchTemplateVersions"]}
    assert failed[9]["Code"] == "launchTemplateVersionDoesNotExist"
    assert failed[2]["Code"] == "unexpectedError" and "default version" in failed[2]["Message"]
    (shown,) = ec2.describe_launch_templates(Filters=[{"Name": "tag:team", "Values": ["a"]}])["LaunchTemplates"]
    assert shown["LatestVersionNumber"] == 2
    next_ = ec2.create_launch_template_version(LaunchTemplateId=template_id, LaunchTemplateData={"KeyName": "k"})
    assert next_["LaunchTemplateVersion"]["VersionNumber"] == 4, "no number is given twice"

    ec2.create_tags(Resources=[template_id], Tags=[{"Key": "more", "Value": "b"}])
    assert {
        tag["Key"] for tag in ec2.describe_launch_templates(LaunchTemplateNames=["web"])["LaunchTemplates"][0]["Tags"]
    } == {
        "team",
        "more",
    }
    assert ec2.delete_launch_template(LaunchTemplateName="web")["LaunchTemplate"]["LaunchTemplateId"] == template_id
    assert (
        refused(ec2.describe_launch_templates, LaunchTemplateIds=[template_id])[0] == "InvalidLaunchTemplateId.NotFound"
    )


@pytest.mark.proves("ec2", "RunInstances", "CreateLaunchTemplate")
def test_a_launch_takes_from_the_template_what_it_leaves_open(edge: Edge, ec2: Any, image_id: str) -> None:
    template_id = make(
        ec2,
        "launching",
        ImageId=image_id,
        InstanceType="t3.micro",
        UserData=base64.b64encode(b"of the template").decode(),
        InstanceInitiatedShutdownBehavior="terminate",
        MetadataOptions={"HttpTokens": "required"},
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 3, "DeleteOnTermination": False}}],
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "made by it"}]}],
    )
    answer = ec2.run_instances(LaunchTemplate={"LaunchTemplateId": template_id}, InstanceType="amiable.tiny", **ONE)
    (made,) = answer["Instances"]
    assert (made["ImageId"], made["InstanceType"]) == (image_id, "amiable.tiny")
    assert made["MetadataOptions"]["HttpTokens"] == "required"
    assert {tag["Key"]: tag["Value"] for tag in made["Tags"]} == {
        "Name": "made by it",
        "aws:ec2launchtemplate:id": template_id,
        "aws:ec2launchtemplate:version": "1",
    }
    with edge.services.database.read() as c:
        kept = instances.get_instance(c, made["InstanceId"])
    assert kept is not None and (kept.user_data, kept.shutdown_behavior) == (b"of the template", "terminate")
    assert made["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] is False
    end(edge, made["InstanceId"])


def test_a_version_is_named_by_number_or_by_word_and_is_the_default_else(edge: Edge, ec2: Any, image_id: str) -> None:
    template_id = make(ec2, "versions", ImageId=image_id)
    ec2.create_launch_template_version(
        LaunchTemplateId=template_id, SourceVersion="$Latest", LaunchTemplateData={"InstanceType": "t2.micro"}
    )

    def type_of(**version: str) -> str:
        asked = {"LaunchTemplateName": "versions", **version}
        (made,) = ec2.run_instances(LaunchTemplate=asked, **ONE)["Instances"]
        end(edge, made["InstanceId"])
        return str(made["InstanceType"])

    assert type_of() == type_of(Version="$Default") == type_of(Version="1") == "amiable.tiny"
    assert type_of(Version="$Latest") == type_of(Version="2") == "t2.micro"


def test_an_image_may_be_resolved_at_the_launch_and_shown_resolved(edge: Edge, ec2: Any, image_id: str) -> None:
    with closing(edge.client("ssm")) as ssm:
        ssm.put_parameter(Name="/golden", Value=image_id, Type="String", DataType="aws:ec2:image")
    template_id = make(ec2, "resolving", ImageId="resolve:ssm:/golden")

    def shown(**parameters: bool) -> str:
        answer = ec2.describe_launch_template_versions(LaunchTemplateId=template_id, **parameters)
        return str(answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"])

    assert (shown(), shown(ResolveAlias=True)) == ("resolve:ssm:/golden", image_id)
    (made,) = ec2.run_instances(LaunchTemplate={"LaunchTemplateId": template_id}, **ONE)["Instances"]
    assert made["ImageId"] == image_id
    end(edge, made["InstanceId"])


@pytest.mark.proves("ec2", "GetLaunchTemplateData")
def test_an_instance_gives_the_data_that_launches_its_like(edge: Edge, ec2: Any, image_id: str) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "model"}]}]
    with closing(edge.client("iam")) as iam:
        profile = iam.create_instance_profile(InstanceProfileName="model")["InstanceProfile"]["Arn"]
        iam.create_role(RoleName="model", AssumeRolePolicyDocument=EC2_TRUST)
        iam.add_role_to_instance_profile(InstanceProfileName="model", RoleName="model")
    (made,) = ec2.run_instances(
        ImageId=image_id,
        InstanceType="amiable.tiny",
        UserData="hello",
        TagSpecifications=tags,
        IamInstanceProfile={"Name": "model"},
        **ONE,
    )["Instances"]
    data = ec2.get_launch_template_data(InstanceId=made["InstanceId"])["LaunchTemplateData"]
    assert (data["ImageId"], data["InstanceType"]) == (image_id, "amiable.tiny")
    assert base64.b64decode(data["UserData"]) == b"hello"
    assert data["IamInstanceProfile"] == {"Arn": profile}
    end(edge, made["InstanceId"])
    ec2.create_launch_template(LaunchTemplateName="like", LaunchTemplateData=data)
    (like,) = ec2.run_instances(LaunchTemplate={"LaunchTemplateName": "like"}, **ONE)["Instances"]
    assert like["ImageId"] == image_id and {"Key": "Name", "Value": "model"} in like["Tags"]
    assert like["IamInstanceProfile"]["Arn"] == profile
    end(edge, like["InstanceId"])


def test_the_data_of_an_instance_says_all_that_its_launch_said(edge: Edge, ec2: Any, image_id: str) -> None:
    said = {
        "DisableApiTermination": True,
        "DisableApiStop": True,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "CreditSpecification": {"CpuCredits": "unlimited"},
        "MaintenanceOptions": {"AutoRecovery": "disabled"},
    }
    interface = {"DeviceIndex": 0, "Description": "stays", "DeleteOnTermination": False}
    disks: list[dict[str, Any]] = [
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3, "VolumeType": "gp3", "DeleteOnTermination": False}}
    ]
    (made,) = ec2.run_instances(
        ImageId=image_id,
        InstanceType="t2.micro",
        NetworkInterfaces=[interface],
        BlockDeviceMappings=disks,
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 3},
        **said,
        **ONE,
    )["Instances"]
    data = ec2.get_launch_template_data(InstanceId=made["InstanceId"])["LaunchTemplateData"]
    assert {name: data[name] for name in said} == said
    assert data["EbsOptimized"] is False
    (told,) = data["NetworkInterfaces"]
    assert interface.items() <= told.items() and told["Groups"] and "PrivateIpAddress" not in told
    assert {name: data["MetadataOptions"][name] for name in ("HttpTokens", "HttpPutResponseHopLimit")} == {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 3,
    }
    by_name = {each["DeviceName"]: each["Ebs"] for each in data["BlockDeviceMappings"]}
    assert disks[0]["Ebs"].items() <= by_name["/dev/sdf"].items()
    assert "SnapshotId" not in by_name["/dev/sda1"]  # a launch takes the root's from the image

    ec2.create_launch_template(LaunchTemplateName="all", LaunchTemplateData=data)
    (like,) = ec2.run_instances(LaunchTemplate={"LaunchTemplateName": "all"}, **ONE)["Instances"]
    again = ec2.get_launch_template_data(InstanceId=like["InstanceId"])["LaunchTemplateData"]
    tags = again.pop("TagSpecifications", None)
    assert again == data and tags is None
    for each in (made, like):
        end(edge, each["InstanceId"])


def test_a_launch_lies_over_its_template_device_by_device_and_tag_by_tag(edge: Edge, ec2: Any, image_id: str) -> None:
    template_id = make(
        ec2,
        "under",
        ImageId=image_id,
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 5, "VolumeType": "gp3"}},
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2}},
        ],
        MetadataOptions={"HttpTokens": "required"},
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "a"}, {"Key": "stage", "Value": "test"}]},
            {"ResourceType": "volume", "Tags": [{"Key": "team", "Value": "a"}]},
        ],
    )
    (made,) = ec2.run_instances(
        LaunchTemplate={"LaunchTemplateId": template_id},
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 6}},
            {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 1}},
        ],
        MetadataOptions={"HttpPutResponseHopLimit": 2},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "stage", "Value": "live"}]}],
        **ONE,
    )["Instances"]
    mine = [{"Name": "attachment.instance-id", "Values": [made["InstanceId"]]}]
    found = ec2.describe_volumes(Filters=mine)["Volumes"]
    assert {each["Attachments"][0]["Device"]: (each["Size"], each["VolumeType"]) for each in found} == {
        "/dev/sda1": (6, "gp3"),
        "/dev/sdf": (2, "gp2"),
        "/dev/sdg": (1, "gp2"),
    }
    assert all(each["Tags"] == [{"Key": "team", "Value": "a"}] for each in found)
    own = {tag["Key"]: tag["Value"] for tag in made["Tags"] if not tag["Key"].startswith("aws:")}
    assert own == {"team": "a", "stage": "live"}
    assert (made["MetadataOptions"]["HttpTokens"], made["MetadataOptions"]["HttpPutResponseHopLimit"]) == (
        "required",
        2,
    )
    end(edge, made["InstanceId"])


def test_a_token_answers_with_its_launch_though_the_template_is_gone(edge: Edge, ec2: Any, image_id: str) -> None:
    template_id = make(ec2, "gone", ImageId=image_id)
    asked = {"LaunchTemplate": {"LaunchTemplateId": template_id}, "ClientToken": "of a template", **ONE}
    (made,) = ec2.run_instances(**asked)["Instances"]
    ec2.delete_launch_template(LaunchTemplateId=template_id)
    assert ec2.run_instances(**asked)["Instances"][0]["InstanceId"] == made["InstanceId"]
    assert refused(ec2.run_instances, **{**asked, "ClientToken": "another"})[0] == "InvalidLaunchTemplateId.NotFound"
    end(edge, made["InstanceId"])


def test_one_token_makes_one_template_and_one_version(ec2: Any) -> None:
    asked = {"LaunchTemplateName": "once", "ClientToken": "t", "LaunchTemplateData": {"KeyName": "k"}}
    first, second = (ec2.create_launch_template(**asked)["LaunchTemplate"] for _ in range(2))
    assert first == second
    assert (
        refused(ec2.create_launch_template, **{**asked, "LaunchTemplateName": "other"})[0]
        == "IdempotentParameterMismatch"
    )
    version = {"LaunchTemplateName": "once", "ClientToken": "v", "LaunchTemplateData": {"KeyName": "k"}}
    numbers = {
        ec2.create_launch_template_version(**version)["LaunchTemplateVersion"]["VersionNumber"] for _ in range(2)
    }
    assert numbers == {2}


def test_refusals_have_aws_codes_and_texts(ec2: Any, image_id: str) -> None:
    make(ec2, "taken")
    data = {"LaunchTemplateData": {"InstanceType": "t3.micro"}}
    assert refused(ec2.create_launch_template, LaunchTemplateName="taken", **data) == (
        "InvalidLaunchTemplateName.AlreadyExistsException",
        "Launch template name already in use.",
    )
    malformed = refused(ec2.create_launch_template, LaunchTemplateName="not a name", **data)
    assert malformed[0] == "InvalidLaunchTemplateName.MalformedException"
    assert refused(ec2.describe_launch_templates, LaunchTemplateNames=["absent"]) == (
        "InvalidLaunchTemplateName.NotFoundException",
        "The specified launch template, with template name absent, does not exist.",
    )
    assert refused(ec2.delete_launch_template, LaunchTemplateId=ABSENT) == (
        "InvalidLaunchTemplateId.NotFound",
        f"The specified launch template, with template ID {ABSENT}, does not exist.",
    )
    assert refused(ec2.delete_launch_template, LaunchTemplateId="lt-x")[0] == "InvalidLaunchTemplateId.Malformed"
    assert refused(ec2.delete_launch_template)[0] == "MissingParameter"
    both = {"LaunchTemplateId": ABSENT, "LaunchTemplateName": "taken"}
    assert refused(ec2.delete_launch_template, **both)[0] == "InvalidParameterCombination"
    code, message = refused(ec2.modify_launch_template, LaunchTemplateName="taken", DefaultVersion="7")
    assert code == "InvalidLaunchTemplateId.VersionNotFound" and "version 7" in message
    assert (
        refused(ec2.modify_launch_template, LaunchTemplateName="taken", DefaultVersion="x")[0]
        == "InvalidParameterValue"
    )
    launch = {"LaunchTemplate": {"LaunchTemplateName": "taken", "Version": "3"}, **ONE}
    assert refused(ec2.run_instances, **launch)[0] == "InvalidLaunchTemplateId.VersionNotFound"
    assert refused(ec2.run_instances, LaunchTemplate={"LaunchTemplateName": "taken"}, **ONE)[0] == "MissingParameter"
    assert refused(ec2.describe_launch_template_versions, Versions=["1"])[0] == "MissingParameter"
    bad = {"LaunchTemplateName": "bad"}
    wrong = refused(ec2.create_launch_template, **bad, LaunchTemplateData={"ImageId": "ami-x"})
    assert wrong[0] == "InvalidAMIID.Malformed"
    code, message = refused(
        ec2.create_launch_template,
        **bad,
        LaunchTemplateData={"InstanceRequirements": {"VCpuCount": {"Min": 1}, "MemoryMiB": {"Min": 1}}},
    )
    assert code == "UnsupportedOperation" and "InstanceRequirements" in message
    assert (
        refused(ec2.create_launch_template, **bad, LaunchTemplateData={"UserData": "?"})[0]
        == "InvalidUserData.Malformed"
    )
    assert refused(ec2.create_launch_template, **bad, **data, DryRun=True)[0] == "DryRunOperation"
    assert (
        refused(ec2.describe_launch_templates, LaunchTemplateNames=["bad"])[0]
        == "InvalidLaunchTemplateName.NotFoundException"
    )


@pytest.mark.proves("ec2", "DescribeImageReferences")
def test_a_template_keeps_its_image_and_is_told_among_its_references(edge: Edge, ec2: Any) -> None:
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    image_id = make_image(edge.services, owner).id
    template_id = make(ec2, "keeping", ImageId=image_id)
    for _ in range(2):
        ec2.create_launch_template_version(LaunchTemplateId=template_id, LaunchTemplateData={"KeyName": "k"})

    def arns(depth: str) -> list[str]:
        option = [{"OptionName": "version-depth", "OptionValues": [depth]}]
        asked = [{"ResourceType": "ec2:LaunchTemplate", "ResourceTypeOptions": option}]
        found = ec2.describe_image_references(ImageIds=[image_id], ResourceTypes=asked)["ImageReferences"]
        return [each["Arn"] for each in found]

    assert arns("3") == [f"arn:aws:ec2:us-east-1:{owner.account_id}:launch-template/{template_id}"]
    assert arns("2") == []
    with edge.services.database.read() as c:
        from amiable.services import why

        found = why.explain(edge.services, c, owner, image_id).keepers
    assert [(it.kind.value, it.resource_id, it.words) for it in found] == [
        ("launch-template", template_id, "version 1 launches it")
    ]


def test_templates_are_their_accounts_own(edge: Edge, ec2: Any) -> None:
    template_id = make(ec2, "private")
    other, _ = make_account(edge.services, "other")
    with closing(Edge(edge.services, edge.port, other).client("ec2")) as stranger:
        assert stranger.describe_launch_templates()["LaunchTemplates"] == []
        assert (
            refused(stranger.delete_launch_template, LaunchTemplateId=template_id)[0]
            == "InvalidLaunchTemplateId.NotFound"
        )
        launch = {"LaunchTemplate": {"LaunchTemplateId": template_id}, **ONE}
        assert refused(stranger.run_instances, **launch)[0] == "InvalidLaunchTemplateId.NotFound"
