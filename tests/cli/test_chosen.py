"""What commands do that act on several things: all or none, each once, and nothing that destroys without --yes."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from amiable.cli.chosen import each_once
from amiable.cli.main import main
from amiable.database import instances
from amiable.model.errors import LocalRefusal
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import make_image, make_kernel, make_snapshot, run_one
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with open_services(tmp_path_factory.mktemp("chosen") / "data") as services:
        with running_edge(services, make_account(services, "first")[0]) as running:
            yield running


@pytest.fixture
def edge(server: Edge, monkeypatch: pytest.MonkeyPatch) -> Edge:
    """The edge, for an account that has nothing yet."""
    edge = replace(server, account=make_account(server.services, "someone")[0])
    edge.speak_in(monkeypatch)
    return edge


@pytest.fixture
def owner(edge: Edge) -> Principal:
    return Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command: exit status, standard output, and what it said."""

    def run_one_command(*words: str) -> tuple[int, str, str]:
        try:
            status = main(list(words))
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run_one_command


def test_things_are_taken_in_their_order_each_once() -> None:
    assert each_once(["b", "a", "b"], "volume") == ["b", "a"]
    with pytest.raises(LocalRefusal, match=r"^which volume\?$") as refused:
        each_once([], "volume")
    assert refused.value.advice == "amiable volume list shows their ids"


@pytest.mark.parametrize(
    "command",
    [
        "instance stop", "instance start", "instance reboot", "instance terminate", "volume delete", "snapshot delete",
        "image deregister", "kernel deregister", "kernel approve", "recycle-bin restore", "key-pair delete",
    ],
)  # fmt: skip
def test_a_command_on_nothing_is_a_usage_error_that_says_where_ids_are(run: Run, command: str) -> None:
    status, out, said = run(*command.split())
    assert (status, out) == (2, "") and said.startswith("error: which ")
    noun = command.split()[0]
    assert said.endswith(f"hint: amiable {noun} list shows their ids\n")


# ── instances ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def running(edge: Edge, owner: Principal, count: int) -> list[str]:
    image = make_image(edge.services, owner)
    made = [run_one(edge.services, owner, image) for _ in range(count)]
    move(edge, made, Event.BOOTED)
    return made


def move(edge: Edge, moved: list[str], *events: Event) -> None:
    for event in events:
        for each in moved:
            with edge.services.database.write() as c:
                instances.set_state(c, each, event, now=edge.services.now())


def states(edge: Edge) -> dict[str, str]:
    found = edge.client("ec2").describe_instances()["Reservations"]
    return {each["InstanceId"]: each["State"]["Name"] for one in found for each in one["Instances"]}


def test_several_instances_are_stopped_started_rebooted_and_terminated(edge: Edge, owner: Principal, run: Run) -> None:
    first, second, third = running(edge, owner, 3)
    status, _, said = run("instance", "reboot", first, second)
    assert (status, said.splitlines()[:2]) == (0, [f"{first} is rebooting", f"{second} is rebooting"])
    status, out, _ = run("instance", "stop", second, first, "--force")
    assert (status, out) == (0, f"{second}  running -> stopping\n{first}  running -> stopping\n")
    assert states(edge) == {first: "stopping", second: "stopping", third: "running"}
    move(edge, [first, second], Event.STOPPED)
    status, out, _ = run("instance", "start", first, second, first)
    assert (status, out) == (0, f"{first}  stopped -> pending\n{second}  stopped -> pending\n")
    status, out, said = run("instance", "terminate", first, third)
    assert (status, out) == (1, "")
    assert [line.split(",")[0] for line in said.splitlines()[:2]] == [
        f"would terminate {first} (pending",
        f"would terminate {third} (running",
    ]
    assert said.endswith("\n\nhint: add --yes to do it\n")
    status, out, _ = run("instance", "terminate", first, third, "--yes")
    assert (status, len(out.splitlines())) == (0, 2)
    assert states(edge) == {first: "shutting-down", second: "pending", third: "shutting-down"}


@pytest.mark.parametrize("command", ["stop", "start", "reboot", "terminate"])
def test_where_one_instance_cannot_none_is_touched(edge: Edge, owner: Principal, run: Run, command: str) -> None:
    before = states(edge)
    (living,) = running(edge, owner, 1)
    more = ["--yes"] if command == "terminate" else []
    status, out, said = run("instance", command, living, "i-0123456789abcdef0", *more)
    assert (status, out) == (1, "") and "InvalidInstanceID.NotFound" in said
    assert states(edge) == {**before, living: "running"}


def test_a_protected_instance_keeps_the_others_too(edge: Edge, owner: Principal, run: Run) -> None:
    first, second = running(edge, owner, 2)
    edge.client("ec2").modify_instance_attribute(InstanceId=second, DisableApiTermination={"Value": True})
    status, out, said = run("instance", "terminate", first, second, "--yes")
    assert (status, out) == (1, "") and "OperationNotPermitted" in said
    assert set(states(edge).values()) == {"running"}


# ── snapshots, images, kernels, volumes ─────────────────────────────────────────────────────────────────────────────────


def test_snapshots_are_deleted_when_it_is_meant_and_all_may_be(edge: Edge, owner: Principal, run: Run) -> None:
    first, second = make_snapshot(edge.services, owner), make_snapshot(edge.services, owner, size_gib=5)
    image = make_image(edge.services, owner)
    needed = str(image.devices[0].snapshot_id)
    status, out, said = run("snapshot", "delete", first, second)
    assert (status, out) == (1, "")
    assert said.splitlines() == [
        f"would delete {first} (2 GiB, completed)",
        f"would delete {second} (5 GiB, completed)",
        "",
        "hint: add --yes to do it",
    ]
    for more in ([], ["--yes"]):
        status, out, said = run("snapshot", "delete", first, needed, *more)
        assert (status, out) == (1, "")
        words, _, hint = said.partition("\n\nhint: ")
        assert words.startswith("error: InvalidSnapshot.InUse") and image.id in words
        assert hint.startswith(f"image {image.id}: ")  # what amiable image why tells
    listed = run("snapshot", "list", "--output", "id")[1].split()
    assert set(listed) == {first, second, needed}
    status, out, _ = run("snapshot", "delete", first, second, first, "--yes")
    assert (status, out) == (0, f"{first}\n{second}\n")
    assert run("snapshot", "list", "--output", "id")[1].split() == [needed]
    assert "InvalidSnapshot.NotFound" in run("snapshot", "delete", first, "--yes")[2]


def test_a_snapshot_and_a_volume_are_shown(edge: Edge, owner: Principal, run: Run) -> None:
    snapshot = make_snapshot(edge.services, owner, size_gib=3)
    edge.client("ec2").modify_snapshot_attribute(
        SnapshotId=snapshot, CreateVolumePermission={"Add": [{"Group": "all"}]}
    )
    shown = json.loads(run("snapshot", "show", snapshot, "--output", "json")[1])
    assert (shown["VolumeSize"], shown["CreateVolumePermissions"]) == (3, [{"Group": "all"}])
    volume = run("volume", "create", "--snapshot", snapshot)[1].strip()
    lines = dict(line.split(maxsplit=1) for line in run("volume", "show", volume)[1].splitlines())
    assert (lines["VolumeId"], lines["SnapshotId"], lines["Size"]) == (volume, snapshot, "3")
    assert "InvalidVolume.NotFound" in run("volume", "show", "vol-0123456789abcdef0")[2]


def test_volumes_are_deleted_all_or_none(edge: Edge, owner: Principal, run: Run) -> None:
    first, second = (run("volume", "create", "--size", "1")[1].strip() for _ in range(2))
    assert "InvalidVolume.NotFound" in run("volume", "delete", first, "vol-0123456789abcdef0", "--yes")[2]
    assert {first, second} <= set(run("volume", "list", "--output", "id")[1].split())
    assert run("volume", "delete", first, second)[2].startswith(
        f"would delete {first} (1 GiB, available)\nwould delete"
    )
    assert run("volume", "delete", first, second, "--yes")[2] == f"{first} is deleting\n{second} is deleting\n"


def test_images_go_with_their_snapshots_all_or_none(edge: Edge, owner: Principal, run: Run) -> None:
    first, kept = make_image(edge.services, owner), make_image(edge.services, owner)
    second = make_image(edge.services, owner, devices=first.devices)
    shared = str(first.devices[0].snapshot_id)
    edge.client("ec2").enable_image_deregistration_protection(ImageId=kept.id)
    status, out, said = run("image", "deregister", first.id, kept.id, "--yes")
    assert (status, out) == (1, "") and "OperationNotPermitted" in said and f"hint: protection {kept.id}: " in said
    status, out, said = run("image", "deregister", first.id, second.id)
    assert said.splitlines()[:2] == [
        f"would deregister {each.id} ({each.name}) and delete {shared}" for each in (first, second)
    ]
    status, out, said = run("image", "deregister", first.id, second.id, "--yes")
    assert (status, out, said) == (0, f"{first.id}\n{second.id}\n{shared}\n", "")
    assert run("image", "list", "--owner", "self", "--output", "id")[1].split() == [kept.id]


def test_kernels_are_deregistered_when_it_is_meant(edge: Edge, owner: Principal, run: Run) -> None:
    first, second = make_kernel(edge.services, owner), make_kernel(edge.services, owner)
    status, out, said = run("kernel", "deregister", first.id, second.id)
    assert (status, out) == (1, "") and said.startswith(f"would deregister {first.id} ({first.name})\nwould deregister")
    assert run("kernel", "deregister", first.id, second.id, "--yes")[:2] == (0, f"{first.id}\n{second.id}\n")
    assert not {first.id, second.id} & set(run("kernel", "list", "--output", "id")[1].split())


def test_what_is_in_the_recycle_bin_comes_back_snapshots_first(edge: Edge, owner: Principal, run: Run) -> None:
    rbin = edge.client("rbin")
    for kind in ("EC2_IMAGE", "EBS_SNAPSHOT"):
        rbin.create_rule(ResourceType=kind, RetentionPeriod={"RetentionPeriodValue": 7, "RetentionPeriodUnit": "DAYS"})
    image = make_image(edge.services, owner)
    snapshot = str(image.devices[0].snapshot_id)
    assert run("image", "deregister", image.id, "--yes")[:2] == (0, f"{image.id}\n{snapshot}\n")
    said = run("recycle-bin", "restore", image.id)[2]
    assert said.startswith("error: IncorrectState") and f"hint: amiable recycle-bin restore {snapshot}" in said
    status, out, said = run("recycle-bin", "restore", snapshot, "snap-0123456789abcdef0")
    assert (status, out) == (1, "") and "InvalidSnapshot.NotFound" in said
    for wrong in ("snap-0123456789abcdef0", "ami-0123456789abcdef0", "nonsense"):
        assert run("recycle-bin", "restore", wrong)[2].endswith("\n\nhint: amiable recycle-bin list\n")
    assert run("recycle-bin", "restore", image.id, snapshot)[:2] == (0, f"{snapshot}\n{image.id}\n")
    assert run("recycle-bin", "list", "--output", "id")[1] == ""
    assert run("image", "list", "--owner", "self", "--output", "id")[1].split() == [image.id]
