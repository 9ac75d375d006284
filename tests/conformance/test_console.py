"""Consoles, passwords and the serial console's switch as stock boto3 asks for them, its waiters included."""

import base64
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from amiable.database import consoles, instances
from amiable.database.consoles import Password, Post
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import make_image, run_one
from tests.server.edge import Edge

NOW = {"WaiterConfig": {"Delay": 0, "MaxAttempts": 1}}


@pytest.fixture
def instance_id(edge: Edge) -> str:
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    return run_one(edge.services, owner, make_image(edge.services, owner))


def refused(call: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.proves("ec2", "GetConsoleOutput")
def test_console_output_has_the_time_of_its_post_and_outlives_the_instance(
    edge: Edge, ec2: Any, instance_id: str
) -> None:
    assert ec2.get_console_output(InstanceId=instance_id)["Output"] == ""
    at = edge.services.now()
    with edge.services.database.write() as c:
        consoles.put_post(c, instance_id, Post(at, "grün\n".encode()))
        instances.set_state(c, instance_id, Event.LAUNCH_FAILED, now=at)
    for latest in (False, True):
        found = ec2.get_console_output(InstanceId=instance_id, Latest=latest)
        assert (found["InstanceId"], found["Output"]) == (instance_id, "grün\n")
        assert abs((found["Timestamp"] - at).total_seconds()) < 1
    assert refused(ec2.get_console_output, InstanceId=instance_id, DryRun=True)[0] == "DryRunOperation"
    assert refused(ec2.get_console_output, InstanceId="i-0123456789abcdef0")[0] == "InvalidInstanceID.NotFound"


@pytest.mark.proves("ec2", "GetPasswordData")
def test_the_waiter_waits_for_the_password(edge: Edge, ec2: Any, instance_id: str) -> None:
    waiter = ec2.get_waiter("password_data_available")
    with pytest.raises(WaiterError):
        waiter.wait(InstanceId=instance_id, **NOW)
    text = base64.b64encode(bytes(256)).decode()
    with edge.services.database.write() as c:
        consoles.put_password(c, instance_id, Password(edge.services.now(), text))
    waiter.wait(InstanceId=instance_id, **NOW)
    assert ec2.get_password_data(InstanceId=instance_id)["PasswordData"] == text


@pytest.mark.proves("ec2", "EnableSerialConsoleAccess", "DisableSerialConsoleAccess", "GetSerialConsoleAccessStatus")
def test_the_serial_console_is_switched_on_and_off(ec2: Any) -> None:
    def status() -> bool:
        answer = ec2.get_serial_console_access_status()
        assert answer["ManagedBy"] == "account"
        return bool(answer["SerialConsoleAccessEnabled"])

    assert status() is False
    assert ec2.enable_serial_console_access()["SerialConsoleAccessEnabled"] is True
    assert status() is True
    assert ec2.disable_serial_console_access()["SerialConsoleAccessEnabled"] is False
    assert status() is False


def test_what_does_not_run_has_no_screen_and_takes_no_interrupt(ec2: Any, instance_id: str) -> None:
    assert refused(ec2.get_console_screenshot, InstanceId=instance_id) == (
        "IncorrectInstanceState",
        f"The instance '{instance_id}' is not in a state from which it can be photographed.",
    )
    assert refused(ec2.send_diagnostic_interrupt, InstanceId=instance_id)[0] == "IncorrectInstanceState"
