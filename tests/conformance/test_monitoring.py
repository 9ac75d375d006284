"""Detailed monitoring as stock boto3 asks for it: kept, told wherever EC2 tells it, and nothing more."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amiable.database import events, instances
from amiable.database.events import Wanted
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.server.imds_facts import read_facts
from tests.api.ec2.launching import end_instances, make_image
from tests.conformance.test_role_bounds import allow, arn, as_role
from tests.rules.test_imds import get as metadata_at
from tests.server.edge import Edge

TINY = {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}


@pytest.fixture(scope="module")
def image_id(edge: Edge) -> str:
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    return make_image(edge.services, owner).id


@pytest.fixture(autouse=True)
def room(edge: Edge) -> Iterator[None]:
    """The instances of one test are over before the next begins."""
    yield
    end_instances(edge.services)


def launch(ec2: Any, image_id: str, **parameters: Any) -> tuple[str, str]:
    """The id of a new instance, and what the launch's answer says of its monitoring."""
    (made,) = ec2.run_instances(ImageId=image_id, **{**TINY, **parameters})["Instances"]
    return str(made["InstanceId"]), str(made["Monitoring"]["State"])


def monitored(ec2: Any, *instance_ids: str, state: str = "enabled") -> set[str]:
    """Which of the instances are told in that state; the filter says the same."""
    found = ec2.describe_instances(InstanceIds=list(instance_ids))["Reservations"]
    told = {it["InstanceId"] for each in found for it in each["Instances"] if it["Monitoring"]["State"] == state}
    wanted = [{"Name": "monitoring-state", "Values": [state]}, {"Name": "instance-id", "Values": list(instance_ids)}]
    filtered = ec2.describe_instances(Filters=wanted)["Reservations"]
    assert {it["InstanceId"] for each in filtered for it in each["Instances"]} == told
    return told


def refused(call: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def states(answer: Any) -> list[tuple[str, str]]:
    return [(each["InstanceId"], each["Monitoring"]["State"]) for each in answer["InstanceMonitorings"]]


def of_metadata(edge: Edge, instance_id: str) -> str | None:
    """What the metadata service tells."""
    with edge.services.database.read() as c:
        found = instances.get_instance(c, instance_id)
    assert found is not None
    return metadata_at("/latest/dynamic/fws/instance-monitoring", read_facts(edge.services, found))


def test_a_launch_says_whether_it_is_monitored_and_so_does_every_call_after_it(
    edge: Edge, ec2: Any, image_id: str
) -> None:
    plain, told = launch(ec2, image_id)
    assert told == "disabled"
    switched_off, told = launch(ec2, image_id, Monitoring={"Enabled": False})
    assert told == "disabled"
    watched, told = launch(ec2, image_id, Monitoring={"Enabled": True})
    assert told == "enabled"
    everything = (plain, switched_off, watched)
    assert monitored(ec2, *everything) == {watched}
    assert monitored(ec2, *everything, state="disabled") == {plain, switched_off}
    assert of_metadata(edge, watched) == "enabled"
    assert of_metadata(edge, plain) == "disabled"


@pytest.mark.proves("ec2", "MonitorInstances", "UnmonitorInstances")
def test_monitoring_is_switched_on_and_off_for_all_that_are_named(edge: Edge, ec2: Any, image_id: str) -> None:
    one, _ = launch(ec2, image_id)
    other, _ = launch(ec2, image_id, Monitoring={"Enabled": True})
    both = [one, other]
    answer = ec2.monitor_instances(InstanceIds=both)
    assert states(answer) == [(one, "pending"), (other, "enabled")]
    assert monitored(ec2, *both) == {one, other}
    assert of_metadata(edge, one) == "enabled"
    assert states(ec2.unmonitor_instances(InstanceIds=[other])) == [(other, "disabling")]
    assert states(ec2.unmonitor_instances(InstanceIds=[other])) == [(other, "disabled")]
    assert monitored(ec2, *both) == {one}
    assert of_metadata(edge, other) == "disabled"


def test_it_outlives_a_stop(edge: Edge, ec2: Any, image_id: str) -> None:
    it, _ = launch(ec2, image_id, Monitoring={"Enabled": True})
    with edge.services.database.write() as c:
        for event in (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED):
            instances.set_state(c, it, event, now=edge.services.now())
    assert monitored(ec2, it) == {it}
    ec2.start_instances(InstanceIds=[it])
    assert monitored(ec2, it) == {it}


@pytest.mark.parametrize("name", ["monitor_instances", "unmonitor_instances"])
def test_what_cannot_be_switched_is_refused_and_nothing_is(edge: Edge, ec2: Any, image_id: str, name: str) -> None:
    call, is_on = getattr(ec2, name), name == "unmonitor_instances"
    it, _ = launch(ec2, image_id, Monitoring={"Enabled": is_on})
    gone, _ = launch(ec2, image_id)
    end_instances(edge.services, gone)
    absent = "i-0123456789abcdef0"
    assert refused(call, InstanceIds=[it, absent]) == (
        "InvalidInstanceID.NotFound",
        f"The instance ID '{absent}' does not exist",
    )
    assert refused(call, InstanceIds=[it, "nonsense"])[0] == "InvalidInstanceID.Malformed"
    assert refused(call, InstanceIds=[]) == ("MissingParameter", "The request must contain the parameter InstanceId")
    code, words = refused(call, InstanceIds=[it, gone])
    assert code == "IncorrectInstanceState" and gone in words
    assert refused(call, InstanceIds=[it], DryRun=True)[0] == "DryRunOperation"
    assert monitored(ec2, it) == ({it} if is_on else set())


def test_categories_of_metrics_are_refused_by_name(ec2: Any, image_id: str) -> None:
    """They choose what is measured; nothing is."""
    it, _ = launch(ec2, image_id)
    for call in (ec2.monitor_instances, ec2.unmonitor_instances):
        code, words = refused(call, InstanceIds=[it], MetricCategoryIds=["cpu"])
        assert code == "UnsupportedOperation" and "MetricCategoryId" in words
    asked = {"Enabled": True, "MetricCategoryIds": ["cpu"]}
    code, words = refused(ec2.run_instances, ImageId=image_id, Monitoring=asked, **TINY)
    assert code == "UnsupportedOperation" and "Monitoring" in words


def test_a_template_keeps_it_and_a_launch_may_say_otherwise(edge: Edge, ec2: Any, image_id: str) -> None:
    data = {"ImageId": image_id, "InstanceType": "amiable.tiny", "Monitoring": {"Enabled": True}}
    made = ec2.create_launch_template(LaunchTemplateName="watched", LaunchTemplateData=data)
    assert "Warning" not in made
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateName="watched")["LaunchTemplateVersions"]
    assert version["LaunchTemplateData"] == data
    asked = {"LaunchTemplate": {"LaunchTemplateName": "watched"}, "MinCount": 1, "MaxCount": 1}
    (watched,) = ec2.run_instances(**asked)["Instances"]
    (plain,) = ec2.run_instances(Monitoring={"Enabled": False}, **asked)["Instances"]
    for it, is_on in ((watched, True), (plain, False)):
        assert it["Monitoring"] == {"State": "enabled" if is_on else "disabled"}
        told = ec2.get_launch_template_data(InstanceId=it["InstanceId"])["LaunchTemplateData"]
        assert told["Monitoring"] == {"Enabled": is_on}
    ec2.monitor_instances(InstanceIds=[plain["InstanceId"]])
    told = ec2.get_launch_template_data(InstanceId=plain["InstanceId"])["LaunchTemplateData"]
    assert told["Monitoring"] == {"Enabled": True}


def test_a_role_switches_what_its_policies_let_it(edge: Edge, ec2: Any, image_id: str) -> None:
    one, _ = launch(ec2, image_id)
    other, _ = launch(ec2, image_id)
    narrow = as_role(edge, "watcher", allow("ec2:MonitorInstances", arn(edge, f"instance/{one}")))
    assert states(narrow.monitor_instances(InstanceIds=[one])) == [(one, "pending")]
    for call, wanted in (
        (narrow.monitor_instances, [other]),
        (narrow.monitor_instances, [one, other]),
        (narrow.unmonitor_instances, [one]),
    ):
        assert refused(call, InstanceIds=wanted)[0] == "UnauthorizedOperation"
    assert monitored(ec2, one, other) == {one}


def test_the_log_has_a_line_of_each_call(edge: Edge, ec2: Any, image_id: str) -> None:
    it, _ = launch(ec2, image_id)
    ec2.monitor_instances(InstanceIds=[it])
    ec2.unmonitor_instances(InstanceIds=[it])
    with edge.services.database.read() as c:
        lines = [line for line in events.list_events(c, Wanted(edge.account.account_id)) if it in line.resource_ids]
    said = {"InstanceIds": [it]}
    told = [(line.action, line.outcome.value, json.loads(line.parameters)) for line in lines[-2:]]
    assert told == [("MonitorInstances", "done", said), ("UnmonitorInstances", "done", said)]
