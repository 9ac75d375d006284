"""Instances from the command line, over a real edge: where they are launched, what a person reads of them, what is refused."""

from contextlib import closing
from pathlib import Path

import pytest

from amiable.cli.main import main
from amiable.database import instances
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import make_image, run_one
from tests.server.edge import running_edge
from tests.support.services import make_account, open_services


def test_a_stopped_instance_is_listed_by_its_name_and_takes_neither_ssh_nor_a_reboot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_services(tmp_path / "data") as services:
        account, _ = make_account(services, "administrator", administrator=True)
        owner = Principal(account.account_id, account.access_key_id, "us-east-1")
        instance_id = run_one(services, owner, make_image(services, owner))
        with services.database.write() as c:
            instances.set_state(c, instance_id, Event.BOOTED, now=services.now())
        with running_edge(services, account) as edge:
            edge.speak_in(monkeypatch)
            edge.client("ec2").create_tags(Resources=[instance_id], Tags=[{"Key": "Name", "Value": "web"}])
            assert main(["instance", "reboot", instance_id]) == 0
            assert f"{instance_id} is rebooting" in capsys.readouterr().err
            for event in (Event.STOP_ASKED, Event.STOPPED):  # the reboot is a job, and no worker runs here
                with services.database.write() as c:
                    instances.set_state(c, instance_id, event, now=services.now())
            assert main(["instance", "list"]) == 0
            heading, row = capsys.readouterr().out.splitlines()
            assert heading.split()[:3] == ["INSTANCE", "NAME", "STATE"]
            assert row.split()[:3] == [instance_id, "web", "stopped"]
            assert main(["instance", "ssh", instance_id, "true"]) == 1
            said = capsys.readouterr().err
            assert said == f"error: {instance_id} is stopped\n\nhint: amiable instance start {instance_id} --wait\n"
            assert main(["instance", "reboot", instance_id]) == 1
            assert "IncorrectInstanceState" in capsys.readouterr().err


def test_an_instance_is_launched_into_a_subnet_and_groups_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_services(tmp_path / "data") as services:
        account, _ = make_account(services, "administrator", administrator=True)
        image_id = make_image(services, Principal(account.account_id, account.access_key_id, "us-east-1")).id
        with running_edge(services, account) as edge, closing(edge.client("ec2")) as ec2:
            edge.speak_in(monkeypatch)
            vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
            subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.2.0/24")["Subnet"]["SubnetId"]
            groups = [
                ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"] for name in "ab"
            ]
            flags = [flag for each in groups for flag in ("--group", each)]
            assert main(["launch", image_id, "--subnet", subnet, *flags]) == 0
            instance_id = capsys.readouterr().out.strip()
            (found,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"]
            assert (found["SubnetId"], found["PrivateIpAddress"]) == (subnet, "10.1.2.4")
            assert {each["GroupId"] for each in found["SecurityGroups"]} == set(groups)
