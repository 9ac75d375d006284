"""Every bundle case by RegisterImage on a real server: the good ones give their very bytes, the bad ones give nothing but a reason.

The installation plays the cloud of the cases: account 123456789012 with the cases' signing certificates enrolled, and the cases'
bundling key.  Bundles of 2008 are wrapped for a key of 1024 bits: a second installation has that one.
"""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from sqlalchemy import select

from amiable.api.accounts import create_account
from amiable.database import accounts, schema
from amiable.services import Services
from tests.support import journey
from tests.support.cases import cases_dir
from tests.support.server import Server, serving
from tests.support.services import open_services

ACCOUNT = "123456789012"
BLOCK_BYTES = 524_288
AT_ONCE = 8
END_SECONDS_MAX = 240.0
CASES = cases_dir() / "bundles"
TOO_LONG = "euca34-hole-9gib-dense-tar"
"""9 GiB of zeros in full take a minute: tests/bundle opens it."""
EXPECTED: dict[str, dict[str, Any]] = {
    f"{path.parent.parent.name}/{path.parent.name}": json.loads(path.read_text())
    for path in sorted(CASES.glob("*/*/expect.json"))
    if path.parent.name != TOO_LONG
}
KERNEL = "good/euca34-kernel"
PARAVIRTUAL = "good/euca34-four-parts"  # names aki-919dcaf8, which no installation of ours has
UNOPENED = [name for name in EXPECTED if EXPECTED[name]["result"] == "refuse"] + [
    "good/euca34-unsigned",  # opens only where the caller waives the signature: the service waives nothing
    "good/euca10-rsa1024",  # its bundler wrote a wrong image digest
]
OPENED = [name for name in EXPECTED if name not in UNOPENED]


@dataclass(frozen=True)
class Outcome:
    """What became of one registration: an error of the call, or an image and its end; then what its bytes are."""

    code: str = ""
    message: str = ""
    image_id: str = ""
    image: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    @property
    def state(self) -> str:
        return str(self.image.get("State", "refused"))

    @property
    def reason(self) -> str:
        return self.message or str(self.image.get("StateReason", {}).get("Message", ""))


@dataclass(frozen=True)
class Ended:
    """Outcomes by case, and what is left in the installation after its server has ended."""

    outcomes: dict[str, Outcome]
    snapshots: int
    unfinished_jobs: int
    kernel_files: int
    temporary_files: list[Path]
    log: str


def bits_of(name: str) -> str:
    """``-1024`` for a bundle that was wrapped for the cloud's key of 2008."""
    return "-1024" if any("1024" in key for key in EXPECTED[name].get("opens_with", [])) else ""


def prepare(data: Path, bits: str) -> None:
    """An installation with the cases' cloud key, and their user as its administrator."""
    folder = data / "installation"
    folder.mkdir(parents=True, mode=0o700)
    for suffix, source in (("key", f"ec2{bits}.key"), ("pem", f"ec2{bits}.crt")):
        (folder / f"bundling.{suffix}").write_bytes((CASES / "keys" / source).read_bytes())
    with open_services(data) as services:
        create_account(services, "bundler", administrator=True, account_id=ACCOUNT)
        certificate = (CASES / "keys" / f"user{bits}.crt").read_text()
        digest = x509.load_pem_x509_certificate(certificate.encode()).fingerprint(hashes.SHA256()).hex()
        with services.database.write() as c:
            accounts.insert_signing_certificate(
                c, certificate_id=digest, account_id=ACCOUNT, pem=certificate, now=services.now()
            )


def upload(s3: Any, name: str) -> str:
    """Puts the case into the bucket for the image service to read; its manifest's location."""
    for path in (CASES / name).rglob("*"):
        if path.is_file() and path.name != "expect.json":
            key = f"{name}/{path.relative_to(CASES / name)}"
            s3.put_object(Bucket="cases", Key=key, Body=path.read_bytes(), ACL="aws-exec-read")
    return f"cases/{name}/{EXPECTED[name]['manifest']}"


def register(ec2: Any, name: str, location: str, **words: str) -> Outcome:
    """Registers a manifest and waits until the image is no longer pending."""
    try:
        image_id = ec2.register_image(Name=name, ImageLocation=location, Architecture="x86_64", **words)["ImageId"]
    except ClientError as error:
        return Outcome(error.response["Error"]["Code"], error.response["Error"]["Message"])

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = ec2.describe_images(ImageIds=[image_id])["Images"][0]
        return found if found["State"] != "pending" else None

    return Outcome(image_id=image_id, image=journey.wait_until(f"{name} to end", ended, END_SECONDS_MAX))


def register_all(ec2: Any, s3: Any, names: list[str]) -> dict[str, Outcome]:
    """Every case, several at once; images that failed are deregistered again."""
    s3.create_bucket(Bucket="cases")

    def one(name: str) -> Outcome:
        return register(ec2, name, upload(s3, name), VirtualizationType="hvm")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = dict(zip(names, pool.map(one, names), strict=True))
    for outcome in outcomes.values():
        if outcome.state == "failed":
            ec2.deregister_image(ImageId=outcome.image_id)
    return outcomes


def digest_of(services: Services, outcome: Outcome, size_bytes: int) -> str:
    """SHA-256 of an available image's bytes as they lie in the installation; what follows them in the last block must be zero."""
    with services.database.read() as c:
        row = c.execute(select(schema.image).where(schema.image.c.id == outcome.image_id)).one()
    if row.content_file is not None:
        return hashlib.sha256((services.data / "kernels" / row.content_file).read_bytes()).hexdigest()
    digest, zeros, snapshot = hashlib.sha256(), bytes(BLOCK_BYTES), row.root_snapshot_id
    for index in range(-(-size_bytes // BLOCK_BYTES)):
        block = services.blocks.read(snapshot, index) or zeros
        end = min(BLOCK_BYTES, size_bytes - index * BLOCK_BYTES)
        digest.update(block[:end])
        assert not any(block[end:])
    beyond = services.blocks.blocks_of(snapshot, start=-(-size_bytes // BLOCK_BYTES))
    assert beyond == []
    return digest.hexdigest()


def look_at(data: Path, outcomes: dict[str, Outcome], log: str) -> Ended:
    """The installation's bytes, rows and files, with no server on it."""
    with open_services(data) as services:
        for name, outcome in outcomes.items():
            if outcome.state == "available" and name in EXPECTED:
                size_bytes = EXPECTED[name]["image"]["size"]
                outcomes[name] = replace(outcome, digest=digest_of(services, outcome, size_bytes))
        with services.database.read() as c:
            snapshots = len(c.execute(select(schema.snapshot.c.id)).all())
            jobs = c.execute(select(schema.job.c.state)).scalars().all()
    unfinished = sum(state not in ("done", "failed", "cancelled") for state in jobs)
    temporary = [path for path in data.rglob("*") if path.suffix in (".new", ".tmp", ".part")]
    return Ended(outcomes, snapshots, unfinished, len(list((data / "kernels").iterdir())), temporary, log)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Ended]]:
    """Both installations after everything was tried on them."""
    found = []
    for bits in ("", "-1024"):
        data = tmp_path_factory.mktemp("s") / "data"
        prepare(data, bits)
        with serving(Server(data)) as server:
            ec2, s3 = server.client("ec2"), server.client("s3")
            outcomes = register_all(ec2, s3, [name for name in EXPECTED if bits_of(name) == bits])
            if not bits:
                location, kernel = f"cases/{PARAVIRTUAL}/{EXPECTED[PARAVIRTUAL]['manifest']}", outcomes[KERNEL].image_id
                words = {"VirtualizationType": "paravirtual"}
                outcomes["no kernel"] = register(ec2, "no kernel", location, **words)
                outcomes["chosen kernel"] = register(ec2, "chosen kernel", location, KernelId=kernel, **words)
        found.append(look_at(data, outcomes, server.log_text()))
    yield found


def outcome_of(ended: list[Ended], name: str) -> Outcome:
    return next(one.outcomes[name] for one in ended if name in one.outcomes)


def test_the_cases_are_there() -> None:
    assert len(OPENED) >= 21
    assert len(UNOPENED) >= 60


@pytest.mark.parametrize("name", OPENED)
def test_a_good_bundle_becomes_an_image_of_its_very_bytes(ended: list[Ended], name: str) -> None:
    outcome = outcome_of(ended, name)
    assert (outcome.state, outcome.reason) == ("available", "")
    assert outcome.digest == EXPECTED[name]["image"]["sha256"]
    codes = EXPECTED[name]["manifest_facts"]["product_codes"] or []
    assert [code["ProductCodeId"] for code in outcome.image.get("ProductCodes", [])] == codes


@pytest.mark.parametrize("name", UNOPENED)
def test_a_bad_bundle_is_refused_with_a_named_cause(ended: list[Ended], name: str) -> None:
    outcome = outcome_of(ended, name)
    assert outcome.state in ("refused", "failed")
    if outcome.state == "refused":
        assert outcome.code in ("InvalidManifest", "AuthFailure")
    else:
        assert outcome.image["StateReason"]["Code"] == "Client.InvalidManifest"
        assert "BlockDeviceMappings" not in outcome.image or outcome.image["BlockDeviceMappings"] == []
    assert len(outcome.reason) > 20


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bad/part-bit-flipped", "small.img.part."),
        ("bad/last-part-missing", "small.img.part.03"),
        ("bad/resigned-by-a-stranger", "signature"),
        ("bad/dtd-from-outside", "DTD"),
        ("bad/filename-parent-folder", "../"),
        ("bad/account-altered", "999999999999"),
    ],
)
def test_the_reason_names_what_is_wrong(ended: list[Ended], name: str, words: str) -> None:
    assert words in outcome_of(ended, name).reason


def test_a_kernel_that_is_not_registered_here_is_named_and_another_may_be_chosen(ended: list[Ended]) -> None:
    refused = outcome_of(ended, "no kernel")
    assert refused.code == "InvalidManifest"
    assert "aki-919dcaf8" in refused.message and "KernelId" in refused.message
    chosen = outcome_of(ended, "chosen kernel")
    assert chosen.state == "available"
    assert chosen.image["KernelId"] == outcome_of(ended, KERNEL).image_id


def test_nothing_of_the_bad_ones_is_left(ended: list[Ended]) -> None:
    for one in ended:
        available = [outcome for outcome in one.outcomes.values() if outcome.state == "available"]
        kernels = [outcome for outcome in available if not outcome.image_id.startswith("ami-")]
        assert one.snapshots == len(available) - len(kernels)
        assert one.kernel_files == len(kernels)
        assert one.unfinished_jobs == 0
        assert one.temporary_files == []
        assert "Traceback" not in one.log
