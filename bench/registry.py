"""The registry's speed: Amiable's server against moto's, in one run, interleaved, the same raw signed requests.

    names      DescribeImages of ten images by owner and name prefix, among 1,000 and among 100,000; bounds: 100,000 cost at most
               twice what 1,000 do, and at least twenty times less than they cost moto
    page       DescribeImages of a page of 1,000 images; bound: five times faster than moto
    register   RegisterImage by eight clients at once, durable; bound: three times as many a second as moto

Each request is signed by botocore beforehand and sent by ``http.client`` over a kept connection: what is measured is the server.
Prints medians and the ratios; a ratio is what counts, the machine may be busy.  ``--images N`` makes the large number smaller;
``--only PART`` runs one part.
"""

import argparse
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from sqlalchemy import insert

sys.path.insert(0, str(Path(__file__).parents[1]))

from amiable.database import schema
from amiable.database.connect import Database
from tests.support.server import Server
from tests.support.services import settings_for

FEW: Final = 1_000
MANY: Final = 100_000
ROUNDS: Final = 15
CLIENTS: Final = 8
REGISTRATIONS: Final = 60
"""Of each client in a round."""
REGISTER_ROUNDS: Final = 9
START_SECONDS_MAX: Final = 600
WAIT_SECONDS_MAX: Final = 300
PREFIX: Final = "family-00012-*"
FOUND: Final = 10


@dataclass(frozen=True)
class Signed:
    """One request, ready to be sent."""

    body: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Target:
    """A server that is asked."""

    name: str
    endpoint: str
    key: str
    secret: str

    def sign(self, **parameters: str) -> Signed:
        """A signed POST, good for a quarter of an hour."""
        body = urlencode({"Version": "2016-11-15", **parameters})
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        request = AWSRequest("POST", f"{self.endpoint}/", headers=headers, data=body)
        SigV4Auth(Credentials(self.key, self.secret), "ec2", "us-east-1").add_auth(request)
        return Signed(body, {name: str(value) for name, value in request.headers.items()})

    def connect(self) -> http.client.HTTPConnection:
        """A connection; it opens itself again where the server closes it."""
        return http.client.HTTPConnection(urlsplit(self.endpoint).netloc, timeout=WAIT_SECONDS_MAX)


def send(connection: http.client.HTTPConnection, request: Signed) -> bytes:
    """The answer's body; anything but 200 ends the run."""
    connection.request("POST", "/", request.body, request.headers)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise SystemExit(f"{response.status}: {body[:500].decode(errors='replace')}")
    return body


def image_name(number: int) -> str:
    return f"family-{number // FOUND:05d}-build-{number}"


# ── Amiable ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def amiable(folder: Path, count: int) -> Iterator[Target]:
    """A server whose administrator has ``count`` images."""
    server = Server(folder / "d").start()
    try:
        found = server.credentials()
        fill(folder / "d", found["AccountId"], count)
        yield Target(f"amiable, {count:,} images", server.endpoint, found["AccessKeyId"], found["SecretAccessKey"])
    finally:
        server.close()


def fill(data: Path, account_id: str, count: int) -> None:
    """The images as rows: to register so many takes longer than to list them."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    common = {
        "account_id": account_id,
        "region": "us-east-1",
        "state": "available",
        "image_type": "machine",
        "architecture": "x86_64",
        "virtualization_type": "hvm",
        "root_device_type": "ebs",
        "root_device_name": "/dev/sda1",
        "ena_support": True,
        "description": "bench",
    }
    images, devices = [], []
    for number in range(count):
        image_id, name = f"ami-{number:017x}", image_name(number)
        own = {"id": image_id, "name": name, "location": f"{account_id}/{name}"}
        images.append(common | own | {"created_at": begin + timedelta(seconds=number)})
        disk = {"device_name": "/dev/sda1", "snapshot_id": f"snap-{number:017x}", "size_gib": 8, "volume_type": "gp2"}
        devices.append(disk | {"image_id": image_id, "position": 0, "delete_on_termination": True, "encrypted": False})
    database = Database(settings_for(data).database_url)
    with database.write() as c:
        c.execute(insert(schema.image), images)
        c.execute(insert(schema.image_device), devices)
    database.close()


def empty_snapshot(server: Server) -> str:
    """A completed snapshot of the administrator."""
    ebs, ec2 = server.client("ebs"), server.client("ec2")
    snapshot = str(ebs.start_snapshot(VolumeSize=1)["SnapshotId"])
    ebs.complete_snapshot(SnapshotId=snapshot, ChangedBlocksCount=0)
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return snapshot


# ── moto ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def moto(count: int) -> Iterator[Target]:
    """moto's server with ``count`` images."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
    command = [sys.executable, __file__, "--serve-moto", str(port), "--images", str(count)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        until = time.monotonic() + START_SECONDS_MAX
        while not answers(port):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("moto's server did not start")
            time.sleep(0.2)
        yield Target(f"moto, {count:,} images", f"http://127.0.0.1:{port}", "test", "test")
    finally:
        process.terminate()
        process.wait(60)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serve_moto(port: int, count: int) -> None:
    """Runs moto's own server over a backend that was filled in its process."""
    from moto.backends import get_backend
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.server import main as run

    backend = get_backend("ec2")[DEFAULT_ACCOUNT_ID]["us-east-1"]
    for number in range(count):
        backend.register_image(image_name(number), "bench")
    run(["-H", "127.0.0.1", "-p", str(port)])


# ── measuring ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def list_times(targets: dict[Target, int], parameters: dict[str, str], found: int) -> dict[str, float]:
    """Median milliseconds of the request at each target, asked in turn as many rounds as the target is given."""
    times: dict[str, list[float]] = {target.name: [] for target in targets}
    wires = {target.name: (target.connect(), target.sign(Action="DescribeImages", **parameters)) for target in targets}
    for number in range(max(targets.values())):
        for target in (each for each, rounds in targets.items() if number < rounds):
            begun = time.perf_counter()
            body = send(*wires[target.name])
            times[target.name].append(1000 * (time.perf_counter() - begun))
            if body.count(b"<imageState>") != found:
                raise SystemExit(f"{target.name} found {body.count(b'<imageState>')} images, not {found}")
    return {name: statistics.median(each[1:]) for name, each in times.items()}


def register_rate(target: Target, snapshot: str, round_number: int) -> float:
    """Images a second that eight clients register at once."""
    queues = [
        [registration(target, f"new {round_number} {client} {number}", snapshot) for number in range(REGISTRATIONS)]
        for client in range(CLIENTS)
    ]
    failures: list[BaseException] = []

    def work(queue: list[Signed]) -> None:
        connection = target.connect()
        try:
            for request in queue:
                send(connection, request)
        except (SystemExit, OSError, http.client.HTTPException) as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(queue,)) for queue in queues]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begun
    if failures:
        raise SystemExit(f"{target.name}: {failures[0]}")
    return CLIENTS * REGISTRATIONS / elapsed


def registration(target: Target, name: str, snapshot: str) -> Signed:
    """A signed RegisterImage."""
    root = "BlockDeviceMapping.1"
    words = {f"{root}.DeviceName": "/dev/sda1", f"{root}.Ebs.SnapshotId": snapshot, "RootDeviceName": "/dev/sda1"}
    kind = {"Architecture": "x86_64", "VirtualizationType": "hvm", "Description": "bench"}
    return target.sign(Action="RegisterImage", Name=name, **kind, **words)


def report(what: str, ratio: float, bound: float, *, at_most: bool = False) -> None:
    """One ratio beside its bound."""
    is_met = ratio <= bound if at_most else ratio >= bound
    print(
        f"  {what}: {ratio:.1f} x, {'at most' if at_most else 'at least'} {bound:g} wanted{'' if is_met else ': MISSED'}"
    )


# ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def names(many: int) -> None:
    """Ten images by owner and prefix, among few and among many."""
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        ours = [stack.enter_context(amiable(folder, count)) for folder, count in zip(folders, (FEW, many), strict=True)]
        theirs = [stack.enter_context(moto(count)) for count in (FEW, many)]
        parameters = {"Owner.1": "self", "Filter.1.Name": "name", "Filter.1.Value.1": PREFIX}
        rounds = {ours[0]: ROUNDS, ours[1]: ROUNDS, theirs[0]: ROUNDS, theirs[1]: 4}
        times = list_times(rounds, parameters, FOUND)
    print(f"DescribeImages by owner and name prefix, {FOUND} found")
    show_times(times)
    few, lot = (times[target.name] for target in ours)
    report(f"{many:,} images / {FEW:,} images", lot / few, 2, at_most=True)
    print(f"  moto / amiable, {FEW:,} images: {times[theirs[0].name] / few:.1f} x")
    report(f"moto / amiable, {many:,} images", times[theirs[1].name] / lot, 20)


def page() -> None:
    """A page of 1,000 images."""
    with tempfile.TemporaryDirectory() as folder, amiable(Path(folder), FEW) as ours, moto(FEW) as theirs:
        parameters = {"Owner.1": "self", "MaxResults": str(FEW)}
        times = list_times({ours: ROUNDS, theirs: ROUNDS}, parameters, FEW)
    print(f"DescribeImages, a page of {FEW:,} images")
    show_times(times)
    report("moto / amiable", times[theirs.name] / times[ours.name], 5)


def register() -> None:
    """RegisterImage by eight clients."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = Server(folder / "d").start()
        stack.callback(server.close)
        found = server.credentials()
        ours = Target("amiable", server.endpoint, found["AccessKeyId"], found["SecretAccessKey"])
        theirs = stack.enter_context(moto(0))
        snapshot = empty_snapshot(server)
        rates: dict[str, list[float]] = {"amiable": [], "moto": []}
        for number in range(REGISTER_ROUNDS):
            rates["amiable"].append(register_rate(ours, snapshot, number))
            rates["moto"].append(register_rate(theirs, snapshot, number))
    medians = {name: statistics.median(each) for name, each in rates.items()}
    print(f"RegisterImage, {CLIENTS} clients, durable")
    for name, rate in medians.items():
        print(f"  {name}: {rate:.0f} images a second")
    ratios = [ours / theirs for ours, theirs in zip(rates["amiable"], rates["moto"], strict=True)]
    print(f"  of each round: {', '.join(f'{ratio:.1f}' for ratio in ratios)}")
    report("amiable / moto, median", statistics.median(ratios), 3)


def show_times(times: dict[str, float]) -> None:
    for name, elapsed in times.items():
        print(f"  {name}: {elapsed:.1f} ms")


def main() -> None:
    """Runs the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=MANY, help="the large number of images")
    parts: dict[str, Callable[[], None]] = {
        "names": lambda: names(arguments.images),
        "page": page,
        "register": register,
    }
    parser.add_argument("--only", choices=sorted(parts))
    parser.add_argument("--serve-moto", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_moto is not None:
        serve_moto(arguments.serve_moto, arguments.images)
        return
    for name, run in parts.items():
        if arguments.only in (None, name):
            run()


if __name__ == "__main__":
    main()
