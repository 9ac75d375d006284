"""Two guests of one VPC in routed mode: they see each other as their groups allow, and nothing that dies beside them disturbs that."""

import os
import signal
import socket
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amiable.model.hardware import NetworkKind
from amiable.vm import host_route
from amiable.vm.network_kind import prove
from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.server import Server, processes_of

AT_ONCE_SECONDS = 60
PORT = 8000


def agents(server: Server) -> list[int]:
    return [pid for pid, words in processes_of(server.data).items() if "fabric_agent" in words]


def dial(key: Path, address: str, *command: str) -> "subprocess.Popen[str]":
    """OpenSSH from the host to the private address, with no proxy between."""
    options = [
        "BatchMode=yes",
        "ConnectTimeout=60",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
    ]
    words = [
        "ssh",
        "-i",
        str(key),
        *(word for option in options for word in ("-o", option)),
        f"root@{address}",
        *command,
    ]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def launch(ec2: Any, image: str, subnet: str, group: str) -> dict[str, Any]:
    nonce = f"#!/bin/sh\n# nonce={uuid.uuid4().hex}\n"
    run = {
        "ImageId": image,
        "InstanceType": "amiable.tiny",
        "MinCount": 1,
        "MaxCount": 1,
        "KeyName": "k",
        "UserData": nonce,
    }
    found: dict[str, Any] = ec2.run_instances(**run, SubnetId=subnet, SecurityGroupIds=[group])["Instances"][0]
    return found


def soon(what: str, look: Callable[[], bool]) -> None:
    journey.wait_until(what, lambda: look() or None, AT_ONCE_SECONDS)


@pytest.mark.boot
def test_guests_of_a_vpc_see_each_other_as_their_groups_allow_whatever_ends_beside_them(tmp_path: Path) -> None:
    found = prove()
    if (
        os.geteuid() != 0 or found.kind is not NetworkKind.ROUTED
    ):  # no way from the host, or no fabric: then it is said why
        assert found.kind is NetworkKind.ROUTED or f"{found.kind} (" in found.words
        return
    server = Server(tmp_path / "d", arguments=("--network", "routed")).start()
    try:
        ec2, key, (a, b) = two_guests(server, tmp_path)
        one, two = a["InstanceId"], b["InstanceId"]
        front, back = a["SecurityGroups"][0]["GroupId"], b["SecurityGroups"][0]["GroupId"]
        for each in (a, b):  # by tunnel: no group lets port 22 of the second in
            told = journey.facts(server, each["InstanceId"], key)
            assert (told["instance-id"], told["local-ipv4"]) == (each["InstanceId"], each["PrivateIpAddress"])
        wait_for_route(server, a["VpcId"])

        for each in (one, two):
            journey.ssh(server, each, key, f"setsid nc -ll -p {PORT} -e /bin/echo hello > /dev/null 2>&1 < /dev/null &")
        ask = f"nc -w %d %s {PORT} < /dev/null || true"
        to_two, to_one = ask % (30, b["PrivateIpAddress"]), ask % (2, a["PrivateIpAddress"])
        soon("the group that is named to let its members in", lambda: "hello" in journey.ssh(server, one, key, to_two))
        assert journey.ssh(server, two, key, to_one).strip() == "", "nothing names the other group"

        with dial(key, a["PrivateIpAddress"], "cat") as talk:
            assert talk.stdin is not None and talk.stdout is not None
            says(talk, "before")
            server.kill()
            says(talk, "no server lives")
            again = dial(key, a["PrivateIpAddress"], to_two)
            assert again.communicate(timeout=60)[0].strip() == "hello"
            server.arguments = ("--network", "namespace")  # what runs stays as it is
            server.start()
            (agent,) = agents(server)
            os.kill(agent, signal.SIGKILL)
            says(talk, "no agent lives")
            soon("another agent", lambda: bool(agents(server)) and agents(server) != [agent])
            assert journey.facts(server, two, key)["instance-id"] == two
            says(talk, "after")
            talk.stdin.close()
            assert talk.wait(60) == 0

        rule = {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT, "UserIdGroupPairs": [{"GroupId": front}]}
        ec2.revoke_security_group_ingress(GroupId=back, IpPermissions=[rule])
        no_more = ask % (2, b["PrivateIpAddress"])
        soon("the rule to be gone", lambda: journey.ssh(server, one, key, no_more).strip() == "")

        vpc = a["VpcId"]
        for each in (one, two):
            journey.terminate(server, each)
        soon("the agent to end", lambda: agents(server) == [])
        soon(
            "the host's link to go",
            lambda: host_route.link_name(vpc) not in {name for _, name in socket.if_nameindex()},
        )
        assert {path.name for path in (server.data / "networks" / vpc).iterdir()} == {"log", "routes"}
        assert server.close() == []
    finally:
        server.close()


def two_guests(server: Server, folder: Path) -> tuple[Any, Path, list[dict[str, Any]]]:
    """A client, a key, and guests in the groups *front* (SSH from anywhere) and *back* (one port from *front*)."""
    ec2 = server.client("ec2")
    image = journey.amiable(server, "image", "import", str(tiny_guest().hvm), "--name", "tiny").stdout.strip()
    key, public = journey.make_key(folder)
    ec2.import_key_pair(KeyName="k", PublicKeyMaterial=public.encode())
    # not the default VPC: the host has one route to 172.31.0.0/20, and other servers of this host may have taken it
    vpc = ec2.create_vpc(CidrBlock=f"10.{os.getpid() // 256 % 256}.{os.getpid() % 256}.0/24")["Vpc"]
    subnet = ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock=vpc["CidrBlock"])["Subnet"]["SubnetId"]
    front, back = (
        ec2.create_security_group(GroupName=n, Description=n, VpcId=vpc["VpcId"])["GroupId"] for n in ("front", "back")
    )
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=front, IpPermissions=[ssh])
    named = {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT, "UserIdGroupPairs": [{"GroupId": front}]}
    ec2.authorize_security_group_ingress(GroupId=back, IpPermissions=[named])
    guests = [launch(ec2, image, subnet, front), launch(ec2, image, subnet, back)]
    return ec2, key, [journey.wait_for_state(server, each["InstanceId"], "running") for each in guests]


def wait_for_route(server: Server, vpc: str) -> None:
    """``doctor`` says that the host reaches the VPC's subnet."""

    def look() -> bool:
        lines = [line for line in journey.amiable(server, "doctor").stdout.splitlines() if vpc in line]
        return len(lines) == 1 and lines[0].startswith("ok")

    soon("the host's route", look)


def says(talk: "subprocess.Popen[str]", word: str) -> None:
    assert talk.stdin is not None and talk.stdout is not None
    talk.stdin.write(word + "\n")
    talk.stdin.flush()
    assert talk.stdout.readline() == word + "\n"
