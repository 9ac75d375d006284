"""With stock boto3: import → register → share → run → console → terminate; a second account may launch only after sharing."""

import base64
import hashlib
import json
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.server import Server

BLOCK = 524_288


def import_by_ebs_direct(server: Server, disk: Path) -> str:
    """A snapshot of ``disk`` as any EBS direct client makes one; its id."""
    ebs, ec2 = server.client("ebs"), server.client("ec2")
    size = disk.stat().st_size
    snapshot = ebs.start_snapshot(VolumeSize=-(-size // (1 << 30)), Description="tiny")["SnapshotId"]
    digests = []
    with disk.open("rb") as file:
        for index in range(-(-size // BLOCK)):
            body = file.read(BLOCK).ljust(BLOCK, b"\0")
            if not any(body):
                continue
            digest = hashlib.sha256(body).digest()
            checksum = base64.b64encode(digest).decode()
            ebs.put_snapshot_block(
                SnapshotId=snapshot,
                BlockIndex=index,
                BlockData=body,
                DataLength=BLOCK,
                Checksum=checksum,
                ChecksumAlgorithm="SHA256",
            )
            digests.append(digest)
    linear = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
    ebs.complete_snapshot(
        SnapshotId=snapshot,
        ChangedBlocksCount=len(digests),
        Checksum=linear,
        ChecksumAlgorithm="SHA256",
        ChecksumAggregationMethod="LINEAR",
    )
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return str(snapshot)


def register(ec2: Any, snapshot: str, name: str) -> str:
    """A snapshot-backed HVM image."""
    mapping = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}]
    words = {"Architecture": "x86_64", "VirtualizationType": "hvm", "RootDeviceName": "/dev/sda1"}
    return str(ec2.register_image(Name=name, BlockDeviceMappings=mapping, **words)["ImageId"])


def lend_a_role(server: Server, instance_id: str, key: Path, account_id: str) -> None:
    """Puts an instance profile onto the running guest, which reads its credentials; they do what the role may do, and no more."""
    iam, ec2 = server.client("iam", account_id), server.client("ec2", account_id)
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    may = {"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"}
    texts = [json.dumps({"Version": "2012-10-17", "Statement": [statement]}) for statement in (trust, may)]
    iam.create_role(RoleName="guest", AssumeRolePolicyDocument=texts[0])
    iam.put_role_policy(RoleName="guest", PolicyName="looks", PolicyDocument=texts[1])
    iam.create_instance_profile(InstanceProfileName="guest")
    iam.add_role_to_instance_profile(InstanceProfileName="guest", RoleName="guest")
    ec2.associate_iam_instance_profile(IamInstanceProfile={"Name": "guest"}, InstanceId=instance_id)

    paths = ("dynamic/instance-identity/document", "meta-data/iam/security-credentials/guest")
    script = ". /usr/lib/amiable/functions; " + "; echo ,; ".join(f"imds {path}" for path in paths)
    document, said = json.loads(f"[{journey.ssh(server, instance_id, key, script, account=account_id)}]")
    assert document["instanceId"] == instance_id
    session = boto3.session.Session(said["AccessKeyId"], said["SecretAccessKey"], said["Token"], "us-east-1")
    with closing(session.client("sts", endpoint_url=server.endpoint)) as sts:
        assert sts.get_caller_identity()["Arn"].endswith(f":assumed-role/guest/{instance_id}")
    with closing(session.client("ec2", endpoint_url=server.endpoint)) as inside:
        (seen,) = inside.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"]
        assert seen["IamInstanceProfile"]["Arn"].endswith(":instance-profile/guest")
        with pytest.raises(ClientError) as denied:
            inside.terminate_instances(InstanceIds=[instance_id])
    assert denied.value.response["Error"]["Code"] == "UnauthorizedOperation"


def give_and_take_an_address(server: Server, instance_id: str, key: Path, account_id: str) -> None:
    """The running guest's metadata have an elastic address as long as it is associated."""
    ec2 = server.client("ec2", account_id)
    (interface,) = journey.describe(ec2, instance_id)["NetworkInterfaces"]
    of_interface = f"meta-data/network/interfaces/macs/{interface['MacAddress']}"

    def told() -> list[str]:
        names = ["meta-data/public-ipv4", "meta-data/public-hostname", f"{of_interface}/public-ipv4s"]
        names.append(f"{of_interface}/ipv4-associations/{address['PublicIp']}")
        script = f'for each in {" ".join(names)}; do echo "$(imds $each)"; done; imds meta-data/; imds {of_interface}/'
        lines = journey.ssh(server, instance_id, key, f". /usr/lib/amiable/functions; {script}", account=account_id)
        return lines.splitlines()

    address = ec2.allocate_address(Domain="vpc")
    listed = ("public-ipv4", "public-hostname", "public-ipv4s", "ipv4-associations/")
    assert told()[:4] == [""] * 4
    association = ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=instance_id)["AssociationId"]
    public, name, of_card, private, *tree = told()
    assert public == of_card == address["PublicIp"] and private == interface["PrivateIpAddress"]
    assert name == f"ec2-{public.replace('.', '-')}.compute-1.amazonaws.com"
    assert set(listed) <= set(tree)
    ec2.disassociate_address(AssociationId=association)
    gone = told()
    assert gone[:4] == [""] * 4 and "instance-id" in gone and not set(listed) & set(gone)
    ec2.release_address(AllocationId=address["AllocationId"])


@pytest.mark.boot
@pytest.mark.proves(
    "ec2",
    "ImportKeyPair",
    "RunInstances",
    "DescribeInstances",
    "DescribeInstanceStatus",
    "RebootInstances",
    "StopInstances",
    "StartInstances",
)
def test_a_second_account_launches_only_after_sharing_and_reaches_the_guest(server: Server, tmp_path: Path) -> None:
    owner = server.client("ec2")
    second = journey.amiable(server, "account", "create", "second", "--output", "id").stdout.strip()
    other = server.client("ec2", second)
    snapshot = import_by_ebs_direct(server, tiny_guest().hvm)
    image = register(owner, snapshot, "tiny by boto3")
    before = journey.snapshot_digest(server, snapshot)

    nonce = uuid.uuid4().hex
    key, public = journey.make_key(tmp_path)
    other.import_key_pair(KeyName="mine", PublicKeyMaterial=public.encode())
    request = {
        "ImageId": image,
        "InstanceType": "amiable.tiny",
        "MinCount": 1,
        "MaxCount": 1,
        "KeyName": "mine",
        "UserData": f"#!/bin/sh\n# nonce={nonce}\necho user-data ran > /dev/console\n",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 2}}],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "first"}]}],
    }
    with pytest.raises(ClientError) as refused:
        other.run_instances(**request)
    assert refused.value.response["Error"]["Code"] == "AuthFailure"

    owner.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": second}]})
    started = other.run_instances(**request)["Instances"][0]
    instance = started["InstanceId"]
    assert started["State"]["Name"] == "pending"
    with pytest.raises(ClientError) as hidden:
        owner.describe_instances(InstanceIds=[instance])
    assert hidden.value.response["Error"]["Code"] == "InvalidInstanceID.NotFound"

    running = journey.wait_for_state(server, instance, "running", second)
    told = journey.facts(server, instance, key, second)
    assert told["instance-id"] == instance
    assert told["nonce"] == nonce
    assert told["root-size-bytes"].isdigit() and int(told["root-size-bytes"]) > 1_500_000_000
    assert told["kernel"] == tiny_guest().kernel_version
    assert "user-data ran" in journey.console(server, instance, second)
    statuses = other.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"]
    assert statuses[0]["InstanceStatus"]["Status"] == "ok" and statuses[0]["SystemStatus"]["Status"] == "ok"
    assert running["Tags"] == [{"Key": "Name", "Value": "first"}]

    lend_a_role(server, instance, key, second)
    give_and_take_an_address(server, instance, key, second)

    # the guest writes a marker over allocated blocks of its root, and shows it after a reboot
    journey.ssh(server, instance, key, "echo marker-$(hostname) > /marker; sync", account=second)
    boot = told["boot-id"]
    other.reboot_instances(InstanceIds=[instance])

    def rebooted() -> dict[str, str] | None:
        try:
            found = journey.facts(server, instance, key, second)
        except AssertionError:
            return None
        return found if found.get("boot-id") not in (None, boot) else None

    journey.wait_until("the guest to come back", rebooted)
    assert journey.ssh(server, instance, key, "cat /marker", account=second).startswith("marker-")
    assert journey.snapshot_digest(server, snapshot) == before

    # stop, start, terminate: each with a reason, and the marker is still there
    other.stop_instances(InstanceIds=[instance])
    stopped = journey.wait_for_state(server, instance, "stopped", second)
    assert stopped["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    other.start_instances(InstanceIds=[instance])
    journey.wait_for_state(server, instance, "running", second)
    assert journey.ssh(server, instance, key, "cat /marker", account=second).startswith("marker-")
    journey.terminate(server, instance, second)
    assert journey.snapshot_digest(server, snapshot) == before
    assert list((server.data / "instances").iterdir()) == []
