"""kill -9 of the server at random points of import, registration, launch, stop, start, terminate and CreateImage.

After each restart: every acknowledged thing is there, every job ends, every instance is in a right state, and at the end nothing leaks
(files, processes, ports, network devices).  A round names the phase it hit.  ``make test`` runs 5 rounds, ``make torture`` 50;
AMIABLE_TORTURE_SEED repeats a run.
"""

import base64
import contextlib
import hashlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from sqlalchemy import select

from amiable.database.connect import Database
from amiable.database.schema import block, image, job, object_, pending_block, snapshot
from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.server import Server, processes_of

BLOCK = 524_288
OF_DISKS = ("put blocks", "complete", "register", "import from S3", "bundle registration")
OF_LIVES = ("launch", "boot", "stop", "start", "terminate", "create image")
PHASES = (*OF_DISKS, *OF_LIVES)
DELAY_SECONDS_MAX = {
    "put blocks": 1.0,
    "complete": 0.1,
    "register": 0.1,
    "import from S3": 0.8,
    "bundle registration": 0.8,
    "launch": 0.1,
    "boot": 4.0,
    "stop": 1.5,
    "start": 2.0,
    "terminate": 1.5,
    "create image": 3.0,
}
SETTLE_SECONDS_MAX = 180
LEFT_SECONDS_MAX = 60


@dataclass
class Known:
    """What the server has acknowledged, and so must never lose."""

    blocks: dict[tuple[str, int], str] = field(default_factory=dict)  # (snapshot, index) → SHA-256
    completed: set[str] = field(default_factory=set)
    images: dict[str, str] = field(default_factory=dict)  # name → id
    objects: dict[str, str] = field(default_factory=dict)  # key → SHA-256
    imports: set[str] = field(default_factory=set)
    instances: dict[str, set[str]] = field(
        default_factory=dict
    )  # id → the states that are right once all jobs have ended
    made: set[str] = field(default_factory=set)  # images of instances

    def count(self) -> int:
        """How many acknowledged things there are."""
        return sum(
            map(len, (self.blocks, self.completed, self.images, self.objects, self.imports, self.instances, self.made))
        )


class Round:
    """One round: acknowledged work first, then one phase under way when the server dies."""

    def __init__(self, server: Server, chance: random.Random, known: Known, number: int, location: str) -> None:
        self.server, self.chance, self.known, self.number, self.location = server, chance, known, number, location
        self.ec2, self.ebs, self.s3 = (server.client(name, read_timeout=60) for name in ("ec2", "ebs", "s3"))
        self.entered = threading.Event()

    def body(self) -> bytes:
        """A block that no other is like."""
        return self.chance.randbytes(64) * (BLOCK // 64)

    def put(self, snapshot_id: str, index: int) -> None:
        body = self.body()
        digest = hashlib.sha256(body).digest()
        checksum = base64.b64encode(digest).decode()
        words = {"SnapshotId": snapshot_id, "BlockIndex": index, "BlockData": body, "DataLength": BLOCK}
        self.ebs.put_snapshot_block(**words, Checksum=checksum, ChecksumAlgorithm="SHA256")
        self.known.blocks[snapshot_id, index] = digest.hex()

    def put_all(self, snapshot_id: str) -> None:
        for index in range(2048):
            self.put(snapshot_id, index)

    def snapshot_of(self, count: int) -> str:
        started = str(self.ebs.start_snapshot(VolumeSize=1)["SnapshotId"])
        for index in self.chance.sample(range(2048), count):
            self.put(started, index)
        return started

    def complete(self, snapshot_id: str) -> None:
        count = sum(1 for owner, _ in self.known.blocks if owner == snapshot_id)
        self.ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=count)
        self.known.completed.add(snapshot_id)

    def register(self, snapshot_id: str, name: str) -> None:
        mapping = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot_id}}]
        words = {"Architecture": "x86_64", "VirtualizationType": "hvm", "RootDeviceName": "/dev/sda1"}
        self.known.images[name] = self.ec2.register_image(Name=name, BlockDeviceMappings=mapping, **words)["ImageId"]

    def prepare(self, phase: str) -> Callable[[], None]:
        """The phase's work, ready to start; what it needs is acknowledged already."""
        name = f"round {self.number}"
        if phase in OF_LIVES:
            return self.prepare_life(phase)
        snapshot_id = self.snapshot_of(3)
        if phase == "put blocks":
            return lambda: self.put_all(snapshot_id)
        if phase == "complete":
            for _ in range(40):
                self.put(snapshot_id, self.chance.randrange(2048))
            return lambda: self.complete(snapshot_id)
        self.complete(snapshot_id)
        self.ec2.get_waiter("snapshot_completed").wait(
            SnapshotIds=[snapshot_id], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        if phase == "register":
            return lambda: self.register_many(snapshot_id, name)
        self.register(snapshot_id, name)
        if phase == "import from S3":
            return self.prepare_import(name)
        assert phase == "bundle registration"
        return lambda: self.register_bundle(f"{name} bundle")

    def register_many(self, snapshot_id: str, name: str) -> None:
        for number in range(200):
            self.register(snapshot_id, f"{name} {number}")

    def prepare_import(self, name: str) -> Callable[[], None]:
        body = b"".join(self.body() for _ in range(64))
        self.s3.put_object(Bucket="disks", Key=name, Body=body)
        self.known.objects[name] = hashlib.sha256(body).hexdigest()

        def work() -> None:
            container = {"Format": "RAW", "UserBucket": {"S3Bucket": "disks", "S3Key": name}}
            self.known.imports.add(self.ec2.import_snapshot(DiskContainer=container)["ImportTaskId"])
            self.hold()

        return work

    def register_bundle(self, name: str) -> None:
        self.known.images[name] = self.ec2.register_image(Name=name, ImageLocation=self.location)["ImageId"]
        self.hold()

    def prepare_life(self, phase: str) -> Callable[[], None]:
        """What is asked of an instance; one that runs, or is stopped, is there already where that is needed."""
        if phase in ("launch", "boot"):
            return lambda: self.launch(wait=phase == "boot")
        instance_id = self.launched()
        journey.wait_for_state(self.server, instance_id, "running")
        named = {"InstanceIds": [instance_id]}
        if phase == "start":
            self.ec2.stop_instances(**named, Force=True)
            journey.wait_for_state(self.server, instance_id, "stopped")
        calls: dict[str, tuple[str, Callable[[], Any]]] = {
            "stop": ("stopped", lambda: self.ec2.stop_instances(**named, Force=True)),
            "start": ("running", lambda: self.ec2.start_instances(**named)),
            "terminate": ("terminated", lambda: self.ec2.terminate_instances(**named)),
            "create image": ("running", lambda: self.make_image(instance_id)),
        }
        after, call = calls[phase]
        before = "stopped" if phase == "start" else "running"
        self.known.instances[instance_id] = {before, after}  # until the call is answered, either is right

        def work() -> None:
            call()
            self.known.instances[instance_id] = {after}
            self.hold()

        return work

    def launched(self) -> str:
        run = {"ImageId": self.known.images["base"], "InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}
        instance_id = str(self.ec2.run_instances(**run)["Instances"][0]["InstanceId"])
        self.known.instances[instance_id] = {"running"}
        return instance_id

    def launch(self, *, wait: bool) -> None:
        self.launched()
        if wait:
            self.hold()

    def make_image(self, instance_id: str) -> None:
        made = self.ec2.create_image(InstanceId=instance_id, Name=f"image {self.number}", NoReboot=True)
        self.known.made.add(made["ImageId"])

    def hold(self) -> None:
        """Stays in the phase: the server works on a job until it is killed."""
        while True:
            self.ec2.describe_regions()
            time.sleep(0.05)

    def run(self, phase: str) -> str:
        """Kills the server while ``phase`` is under way; what was hit, in words."""
        work = self.prepare(phase)
        before = self.known.count()
        assert before > 0

        def under_way() -> None:
            self.entered.set()
            # ResponseParserError, which is no BotoCoreError: the server died between an answer's head and its body.
            with contextlib.suppress(BotoCoreError, ClientError, OSError, ResponseParserError):
                work()

        thread = threading.Thread(target=under_way, daemon=True)
        thread.start()
        assert self.entered.wait(60)
        delay = self.chance.uniform(0, DELAY_SECONDS_MAX[phase])
        time.sleep(delay)
        busy = thread.is_alive()
        self.server.kill()
        thread.join(120)
        assert not thread.is_alive()
        return f"{phase} ({'under way' if busy else 'just ended'}, {delay:.2f} s in, {before} things acknowledged before, {self.known.count()} in all)"


def check(server: Server, known: Known) -> None:
    """Everything acknowledged is there, and every job ends."""
    ec2, ebs, s3 = (server.client(name) for name in ("ec2", "ebs", "s3"))

    def quiet() -> bool | None:
        database = Database(f"sqlite:///{server.data}/amiable.db")
        try:
            with database.read() as c:
                busy = c.execute(select(job.c.key).where(job.c.state.in_(["queued", "running"]))).scalars().all()
        finally:
            database.close()
        return None if busy else True

    journey.wait_until("every job to end", quiet, SETTLE_SECONDS_MAX)
    states = {row["SnapshotId"]: row["State"] for row in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
    for snapshot_id in known.completed:
        assert states[snapshot_id] == "completed", (snapshot_id, states.get(snapshot_id))
    assert {owner for owner, _ in known.blocks} <= set(states)
    check_blocks(ebs, known)
    images = {row["ImageId"]: row["State"] for row in ec2.describe_images(Owners=["self"])["Images"]}
    for name, image_id in known.images.items():
        assert images.get(image_id) == "available", (name, image_id, images.get(image_id))
    for key, digest in known.objects.items():
        assert hashlib.sha256(s3.get_object(Bucket="disks", Key=key)["Body"].read()).hexdigest() == digest
    if known.imports:
        tasks = ec2.describe_import_snapshot_tasks(ImportTaskIds=sorted(known.imports))["ImportSnapshotTasks"]
        assert {task["SnapshotTaskDetail"]["Status"] for task in tasks} == {"completed"}
    for instance_id, right in known.instances.items():
        found = journey.describe(ec2, instance_id)
        assert found["State"]["Name"] in right, (instance_id, right, found["State"], found.get("StateReason"))
    for image_id in known.made:
        assert images[image_id] in ("available", "failed"), (image_id, images[image_id])
    check_processes(server)


def living(server: Server) -> dict[str, str]:
    """The state of each instance that is not terminated; one may be there that the server was killed before it could acknowledge."""
    pages = server.client("ec2").get_paginator("describe_instances").paginate()
    found = [each for page in pages for reservation in page["Reservations"] for each in reservation["Instances"]]
    states = {each["InstanceId"]: each["State"]["Name"] for each in found}
    return {each: state for each, state in states.items() if state != "terminated"}


def check_processes(server: Server) -> None:
    """One QEMU for each instance that runs, and none for another."""
    running = {each for each, state in living(server).items() if state == "running"}
    words = [text for text in processes_of(server.data).values() if "qemu-system" in text]
    assert len(words) == len(running) and all(any(each in text for text in words) for each in running), (running, words)


def check_blocks(ebs: Any, known: Known) -> None:
    """Each acknowledged block of a completed snapshot reads back as it was written."""
    for snapshot_id in known.completed:
        wanted = {index: digest for (owner, index), digest in known.blocks.items() if owner == snapshot_id}
        listed = ebs.list_snapshot_blocks(SnapshotId=snapshot_id)["Blocks"]
        assert {entry["BlockIndex"] for entry in listed} >= set(wanted)
        for entry in listed:
            if entry["BlockIndex"] in wanted:
                answer = ebs.get_snapshot_block(SnapshotId=snapshot_id, **entry)
                assert hashlib.sha256(answer["BlockData"].read()).hexdigest() == wanted[entry["BlockIndex"]]


def check_pending(server: Server, known: Known) -> None:
    """Acknowledged blocks of snapshots that are still pending are in the facts, with their bytes."""
    database = Database(f"sqlite:///{server.data}/amiable.db")
    with database.read() as c:
        for (snapshot_id, index), digest in known.blocks.items():
            if snapshot_id in known.completed:
                continue
            state = c.execute(select(snapshot.c.state).where(snapshot.c.id == snapshot_id)).scalar_one()
            if state == "pending":
                at = (pending_block.c.snapshot_id == snapshot_id) & (pending_block.c.index == index)
                assert c.execute(select(pending_block.c.digest).where(at)).scalar_one().hex() == digest
                assert c.execute(select(block.c.pack).where(block.c.digest == bytes.fromhex(digest))).scalar_one()
    database.close()


def devices() -> set[str]:
    """The host's network devices."""
    return {path.name for path in Path("/sys/class/net").iterdir()}


def check_leaks(server: Server) -> None:
    """Once the instances are terminated and the server has ended: no process, file, port or network device of theirs remains."""
    for instance_id in living(server):
        journey.terminate(server, instance_id)
    journey.wait_until(
        "guests to end", lambda: None if any("qemu" in w for w in processes_of(server.data).values()) else True
    )
    assert list((server.data / "instances").iterdir()) == []
    assert [path.name for path in (server.data / "exports").iterdir() if path.suffix == ".map"] == []
    port = int(server.endpoint.rpartition(":")[2])
    server.close()
    left = {pid: words for pid, words in processes_of(server.data).items() if "exporter" not in words}
    assert left == {}, left
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    check_files(server.data)


def check_files(data: Path) -> None:
    """No file that no row names: objects, kernels; temp files nowhere."""
    database = Database(f"sqlite:///{data}/amiable.db")
    with database.read() as c:
        objects = set(c.execute(select(object_.c.file)).scalars())
        kernels = set(c.execute(select(image.c.content_file)).scalars()) - {None}
    database.close()
    assert {path.name for path in (data / "objects").iterdir()} <= objects
    assert {path.name for path in (data / "kernels").iterdir()} <= kernels


def rounds(tmp_path: Path, count: int) -> None:
    """Runs ``count`` rounds, every phase in turn before any comes again."""
    seed = int(os.environ.get("AMIABLE_TORTURE_SEED") or random.SystemRandom().randrange(1 << 32))
    chance = random.Random(seed)
    print(f"seed {seed} (AMIABLE_TORTURE_SEED={seed} repeats it)", flush=True)
    order = [phase for _ in range(-(-count // len(PHASES))) for phase in chance.sample(PHASES, len(PHASES))][:count]
    before = devices()
    server, known = Server(tmp_path / "d").start(), Known()
    try:
        location = prepare_server(server, known, tmp_path)
        for number, phase in enumerate(order):
            hit = Round(server, chance, known, number, location).run(phase)
            print(f"round {number}: {hit}", flush=True)
            server.start()
            check(server, known)
            check_pending(server, known)
            end_instances(server, known)
        if count >= len(PHASES):
            assert set(order) == set(PHASES)
        check_leaks(server)
        journey.wait_until("network devices to go", lambda: True if devices() <= before else None, LEFT_SECONDS_MAX)
    finally:
        server.close()


def prepare_server(server: Server, known: Known, folder: Path) -> str:
    """A base image, a bucket, and a bundle to register; the bundle's location."""
    known.images["base"] = journey.amiable(
        server, "image", "import", str(tiny_guest().hvm), "--name", "base"
    ).stdout.strip()
    server.client("s3").create_bucket(Bucket="disks")
    words = [
        "--image",
        str(tiny_guest().pv),
        "--destination",
        str(folder / "bundle"),
        "--prefix",
        "tiny",
        "--arch",
        "x86_64",
    ]
    kernel = [
        "--kernel",
        str(tiny_guest().kernel),
        "--ramdisk",
        str(tiny_guest().ramdisk),
        "--name",
        "tiny",
        "--output",
        "id",
    ]
    aki, ari = journey.amiable(server, "kernel", "add", *kernel).stdout.split()
    journey.amiable(server, "bundle", "create", *words, "--kernel", aki, "--ramdisk", ari)
    return journey.amiable(
        server, "bundle", "upload", str(folder / "bundle" / "tiny.manifest.xml"), "--bucket", "bundles"
    ).stdout.strip()


def end_instances(server: Server, known: Known) -> None:
    """Terminates this round's instances: at most two guests run at once."""
    for instance_id in sorted(living(server)):
        journey.terminate(server, instance_id)
    known.instances.clear()


@pytest.mark.boot
def test_five_rounds_of_kill_lose_nothing_and_leak_nothing(tmp_path: Path) -> None:
    rounds(tmp_path, 5)


@pytest.mark.boot
@pytest.mark.torture
def test_fifty_rounds_of_kill_hit_every_phase(tmp_path: Path) -> None:
    rounds(tmp_path, 50)
