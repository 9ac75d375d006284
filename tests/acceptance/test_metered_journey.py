"""A paid image's way through a real server: offered, refused, subscribed, metered over a crash and a killed server, stated."""

import json
import os
import signal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.guests import tiny_guest
from tests.support.journey import amiable, describe, wait_for_state
from tests.support.server import Server

pytestmark = pytest.mark.boot


def said(server: Server, *words: str, account: str | None = None) -> Any:
    """What the command prints as JSON."""
    return json.loads(amiable(server, *words, "--output", "json", account=account).stdout)


def hours(server: Server, month: str, account: str | None, *words: str) -> tuple[int, str]:
    """Hours and total of the one line of a statement."""
    (line,) = said(server, "product", "statement", "--month", month, *words, account=account)["Lines"]
    return line["Hours"], line["Total"]


def code_of(call: Any, **parameters: Any) -> str:
    """The code of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


def test_a_paid_image_is_metered_through_a_crash_and_a_killed_server(server: Server) -> None:
    buyer = said(server, "account", "create", "buyer")["AccountId"]
    ec2 = server.client("ec2", buyer)
    image_id = amiable(
        server, "image", "import", str(tiny_guest().hvm), "--name", "tiny", "--output", "id"
    ).stdout.split()[-1]
    code = said(server, "product", "create", "Tiny Suite", "--hourly", "0.05")["ProductCode"]
    amiable(server, "image", "share", image_id, "--account", buyer)
    assert image_id in amiable(server, "product", "attach", code, image_id, "--output", "id").stdout.split()
    wanted = {"ImageId": image_id, "InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}
    assert code_of(ec2.run_instances, **wanted) == "OptInRequired"
    month = said(server, "product", "subscribe", code, account=buyer)["StartedAt"][:7]

    (made,) = ec2.run_instances(**wanted)["Instances"]
    instance_id = made["InstanceId"]
    assert made["ProductCodes"] == [{"ProductCodeId": code, "ProductCodeType": "marketplace"}]
    wait_for_state(server, instance_id, "running", buyer)
    assert hours(server, month, buyer) == (1, "0.05")
    record = json.loads((server.data / "instances" / instance_id / "process.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    wait_for_state(server, instance_id, "stopped", buyer)
    ec2.start_instances(InstanceIds=[instance_id])
    wait_for_state(server, instance_id, "running", buyer)
    server.kill()
    server.start()
    ec2 = server.client("ec2", buyer)
    assert describe(ec2, instance_id)["State"]["Name"] == "running"
    confirmed = server.client("ec2").confirm_product_instance(InstanceId=instance_id, ProductCode=code)
    assert (confirmed["Return"], confirmed["OwnerId"]) == (True, buyer)

    amiable(server, "product", "unsubscribe", code, account=buyer)
    assert [each["InstanceId"] for each in said(server, "product", "lapses")] == [instance_id]
    ec2.stop_instances(InstanceIds=[instance_id], Force=True)
    wait_for_state(server, instance_id, "stopped", buyer)
    assert code_of(ec2.start_instances, InstanceIds=[instance_id]) == "OptInRequired"
    ec2.terminate_instances(InstanceIds=[instance_id])
    wait_for_state(server, instance_id, "terminated", buyer)
    assert hours(server, month, buyer) == hours(server, month, None, "--seller") == (2, "0.10")
