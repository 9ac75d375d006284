"""RegisterImage by manifest, with real bundles: what other bundlers wrote opens, every bad one is refused, nothing is left."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import func, select

from amiable.api.accounts import create_account
from amiable.api.ec2.describe_images import describe_images
from amiable.api.ec2.image_attributes import describe_image_attribute
from amiable.api.ec2.images import deregister_image
from amiable.api.ec2.register_image import register_image
from amiable.api.iam import (
    delete_signing_certificate,
    list_signing_certificates,
    update_signing_certificate,
    upload_signing_certificate,
)
from amiable.bundle.pipeline import Recipe, create
from amiable.database import accounts, images, schema
from amiable.model.errors import AuthFailure, InvalidManifest, Refusal
from amiable.model.manifest import Mapping
from amiable.model.principal import Principal
from amiable.model.product import devpay_codes
from amiable.model.units import BLOCK_BYTES
from amiable.services import Services
from amiable.services.roots import drop_unused_roots
from amiable.wire.generated import ec2, iam
from tests.support.buckets import make_bucket, put
from tests.support.cases import cases_dir
from tests.support.services import make_account, open_services
from tests.support.work import run_jobs

BUNDLES = cases_dir() / "bundles"
ACCOUNT = "123456789012"
SLOW = 1 << 30


def expectations(kind: str) -> list[tuple[Path, dict[str, Any]]]:
    """(folder, expectation) of each case."""
    return [(path.parent, json.loads(path.read_text())) for path in sorted((BUNDLES / kind).glob("*/expect.json"))]


@dataclass
class Cloud:
    """Services whose bundling key is the cases', and their bundler's account."""

    services: Services
    bundler: Principal
    bucket: str


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One for all cases: each has its own folder in the bucket."""
    keys = BUNDLES / "keys"
    with open_services(tmp_path_factory.mktemp("cloud") / "data") as opened:
        installation = replace(
            opened.installation,
            bundling_pem=(keys / "ec2.crt").read_text(),
            bundling_key_pem=(keys / "ec2.key").read_text(),
        )
        services = replace(opened, installation=installation)
        made = create_account(services, "bundler", administrator=True, account_id=ACCOUNT)
        enrol(services, ACCOUNT, (keys / "user.crt").read_text())
        bundler = Principal(ACCOUNT, made.access_key_id, services.settings.region, is_administrator=True)
        yield Cloud(services, bundler, make_bucket(services, bundler))


def enrol(services: Services, account_id: str, pem: str) -> None:
    with services.database.write() as c:
        accounts.insert_signing_certificate(
            c, certificate_id=sha256(pem.encode()).hexdigest(), account_id=account_id, pem=pem, now=services.now()
        )


def upload(cloud: Cloud, folder: Path, prefix: str, acl: str = "aws-exec-read") -> None:
    for path in folder.iterdir():
        if path.is_file() and path.name != "expect.json":
            put(cloud.services, cloud.bundler, cloud.bucket, f"{prefix}/{path.name}", path.read_bytes(), acl=acl)


def image_of(services: Services, principal: Principal, image_id: str | None) -> ec2.Image:
    assert image_id is not None
    found = describe_images(services, principal, ec2.DescribeImagesRequest(image_ids=[image_id])).images
    assert found is not None
    return found[0]


def sha256_of_root(services: Services, image_id: str, region: str) -> str:
    """SHA-256 over the converted root, as long as the image was."""
    with services.database.read() as c:
        image = images.get(c, region, image_id, viewer=ACCOUNT)
    assert image is not None and image.root_snapshot_id is not None and image.size_bytes is not None
    digest, left, index = sha256(), image.size_bytes, 0
    while left:
        block = services.blocks.read(image.root_snapshot_id, index) or bytes(BLOCK_BYTES)
        digest.update(block[:left])
        left -= min(left, BLOCK_BYTES)
        index += 1
    return digest.hexdigest()


def counts(services: Services) -> tuple[int, int, list[str]]:
    """Snapshots, blocks that wait for a leaf, kernel files: what must not be left behind."""
    with services.database.read() as c:
        snapshots = c.execute(select(func.count()).select_from(schema.snapshot)).scalar_one()
        pending = c.execute(select(func.count()).select_from(schema.pending_block)).scalar_one()
    return snapshots, pending, sorted(path.name for path in (services.data / "kernels").iterdir())


def opens_here(expect: dict[str, Any]) -> bool:
    """Signed with the enrolled key, for this cloud, its digest true: what the service takes without a waiver."""
    is_ours = "keys/ec2.key" in expect["opens_with"] and expect["signature"].get("certificate") == "keys/user.crt"
    is_true = expect["signature"]["state"] == "valid" and expect["stream"]["image_digest_is_true"]
    return bool(is_ours and is_true and expect["image"]["size"] < SLOW)


GOOD = [case for case in expectations("good") if opens_here(case[1])]
BAD = expectations("bad")


def test_there_are_cases() -> None:
    assert len(GOOD) >= 5 and len(BAD) >= 40


@pytest.mark.parametrize(("folder", "expect"), GOOD, ids=[folder.name for folder, _ in GOOD])
def test_a_foreign_bundle_becomes_an_image_byte_for_byte(cloud: Cloud, folder: Path, expect: dict[str, Any]) -> None:
    services, bundler = cloud.services, cloud.bundler
    upload(cloud, folder, f"good/{folder.name}")
    request = ec2.RegisterImageRequest(
        name=f"good {folder.name}", image_location=f"/{cloud.bucket}/good/{folder.name}/{expect['manifest']}"
    )
    try:
        image_id = register_image(services, bundler, request).image_id
    except InvalidManifest as refusal:
        # Some name a kernel of Amazon's, one an architecture that EC2 never had: the request's own words win over both.
        assert "is not registered here. Give KernelId" in refusal.message or "Give Architecture" in refusal.message
        request = structs.replace(request, architecture="x86_64", virtualization_type="hvm")
        image_id = register_image(services, bundler, request).image_id
    assert image_of(services, bundler, image_id).state == "pending"
    run_jobs(services)
    image = image_of(services, bundler, image_id)
    assert image.state == "available", image.state_reason
    assert image_id is not None and image.image_location == f"{cloud.bucket}/good/{folder.name}/{expect['manifest']}"
    if image.image_type == "machine":
        assert image.root_device_type == "instance-store"
        assert sha256_of_root(services, image_id, bundler.region) == expect["image"]["sha256"]
    else:
        content = (services.data / "kernels" / image_id).read_bytes()
        assert sha256(content).hexdigest() == expect["image"]["sha256"]


@pytest.mark.parametrize(("folder", "expect"), BAD, ids=[folder.name for folder, _ in BAD])
def test_a_bad_bundle_is_refused_and_nothing_is_left(cloud: Cloud, folder: Path, expect: dict[str, Any]) -> None:
    services, bundler = cloud.services, cloud.bundler
    upload(cloud, folder, f"bad/{folder.name}")
    before = counts(services)
    request = ec2.RegisterImageRequest(
        name=f"bad {folder.name}", image_location=f"{cloud.bucket}/bad/{folder.name}/{expect['manifest']}"
    )
    try:
        image_id = register_image(services, bundler, request).image_id
    except Refusal as refusal:
        assert refusal.code in ("InvalidManifest", "AuthFailure"), refusal
        assert refusal.message
        with services.database.read() as c:
            assert images.find_name(c, ACCOUNT, bundler.region, request.name) is None
    else:
        run_jobs(services)
        image = image_of(services, bundler, image_id)
        assert image.state == "failed"
        assert image.state_reason is not None and image.state_reason.code == "Client.InvalidManifest"
        assert image.state_reason.message
    assert counts(services) == before


# ── our own bundles, on an ordinary installation ────────────────────────────────────────────────────────────────────────


@dataclass
class Bundled:
    """A bundle that lies in a bucket."""

    owner: Principal
    bucket: str
    location: str
    content: bytes


def bundle(
    services: Services, tmp_path: Path, *, administrator: bool = False, acl: str = "aws-exec-read", **changes: Any
) -> Bundled:
    """A bundle of 3 MiB and a bit by a new account, uploaded."""
    made, owner = make_account(services, "bundler", administrator=administrator)
    content = b"".join(bytes([number]) * BLOCK_BYTES for number in (1, 0, 2, 0, 0, 3)) + b"tail"
    (tmp_path / "disk.img").write_bytes(content)
    recipe = Recipe(
        tmp_path / "disk.img",
        "disk.img",
        owner.account_id,
        "x86_64",
        made.certificate_pem,
        made.private_key_pem,
        services.installation.bundling_pem,
    )
    folder = tmp_path / "bundle"
    folder.mkdir()
    manifest = create(replace(recipe, **changes), folder)
    bucket = make_bucket(services, owner)
    for path in folder.iterdir():
        put(services, owner, bucket, f"images/{path.name}", path.read_bytes(), acl=acl)
    return Bundled(owner, bucket, f"{bucket}/images/{manifest.name}", content)


def request_of(bundled: Bundled, **fields: Any) -> ec2.RegisterImageRequest:
    return ec2.RegisterImageRequest(**{"name": "classic", "image_location": bundled.location, **fields})


def test_a_machine_takes_architecture_and_disks_from_its_manifest(services: Services, tmp_path: Path) -> None:
    mappings = (Mapping("ami", "sda1"), Mapping("root", "/dev/sda1"), Mapping("ephemeral0", "sdb"))
    bundled = bundle(services, tmp_path, block_device_mapping=mappings)
    image_id = register_image(services, bundled.owner, request_of(bundled, description="old style")).image_id
    assert run_jobs(services) == 1
    image = image_of(services, bundled.owner, image_id)
    assert (image.state, image.architecture, image.virtualization_type) == ("available", "x86_64", "paravirtual")
    assert (image.root_device_type, image.root_device_name) == ("instance-store", "/dev/sda1")
    assert image.block_device_mappings == [ec2.BlockDeviceMapping(device_name="/dev/sdb", virtual_name="ephemeral0")]
    with services.database.read() as c:
        row = images.get(c, bundled.owner.region, str(image_id), viewer=bundled.owner.account_id)
    assert row is not None and row.size_bytes == len(bundled.content)
    assert sha256_of_root(services, str(image_id), bundled.owner.region) == sha256(bundled.content).hexdigest()


def test_a_conversion_that_was_killed_is_finished_by_another_run(services: Services, tmp_path: Path) -> None:
    bundled = bundle(services, tmp_path)
    image_id = register_image(services, bundled.owner, request_of(bundled)).image_id
    with services.database.write() as c:  # as a first run leaves it: a snapshot begun, named in the checkpoint
        half = services.mint("snap")
        c.execute(
            schema.snapshot.insert().values(
                id=half, account_id=bundled.owner.account_id, region=bundled.owner.region, state="pending",
                progress_percent=0, size_gib=1, description="", timeout_minutes=60, started_at=services.now(),
                touched_at=services.now(), is_internal=True,
            )
        )  # fmt: skip
        data = json.loads(c.execute(select(schema.job.c.data)).scalar_one())
        c.execute(schema.job.update().values(data=json.dumps({**data, "snapshot_id": half})))
    services.blocks.write(half, [(7, b"\xff" * BLOCK_BYTES)])
    run_jobs(services)
    assert image_of(services, bundled.owner, image_id).state == "available"
    assert sha256_of_root(services, str(image_id), bundled.owner.region) == sha256(bundled.content).hexdigest()
    assert counts(services)[:2] == (1, 0)


def test_a_part_lost_before_the_conversion_fails_the_image_by_name(services: Services, tmp_path: Path) -> None:
    bundled = bundle(services, tmp_path)
    image_id = register_image(services, bundled.owner, request_of(bundled)).image_id
    with services.database.write() as c:
        c.execute(schema.object_.delete().where(schema.object_.c.key.like("%part.00")))
    run_jobs(services)
    image = image_of(services, bundled.owner, image_id)
    assert image.state == "failed" and image.state_reason is not None
    assert "disk.img.part.00" in str(image.state_reason.message)
    assert counts(services) == (0, 0, [])


def test_a_manifest_that_changed_since_it_was_registered_fails_the_image(services: Services, tmp_path: Path) -> None:
    bundled = bundle(services, tmp_path)
    image_id = register_image(services, bundled.owner, request_of(bundled)).image_id
    key = bundled.location.partition("/")[2]
    put(services, bundled.owner, bundled.bucket, key, b"<manifest/>", acl="aws-exec-read")
    run_jobs(services)
    reason = image_of(services, bundled.owner, image_id).state_reason
    assert reason is not None and "was changed after" in str(reason.message)


def test_an_image_deregistered_while_pending_leaves_nothing(services: Services, tmp_path: Path) -> None:
    bundled = bundle(services, tmp_path)
    image_id = register_image(services, bundled.owner, request_of(bundled)).image_id
    deregister_image(services, bundled.owner, ec2.DeregisterImageRequest(image_id=str(image_id)))
    run_jobs(services)
    assert counts(services) == (0, 0, [])
    asked = ec2.DescribeImagesRequest(image_ids=[str(image_id)])
    assert describe_images(services, bundled.owner, asked).images == []


def test_deregistering_drops_the_converted_root_that_nothing_uses(services: Services, tmp_path: Path) -> None:
    bundled = bundle(services, tmp_path)
    image_id = register_image(services, bundled.owner, request_of(bundled)).image_id
    run_jobs(services)
    assert counts(services)[0] == 1
    deregister_image(services, bundled.owner, ec2.DeregisterImageRequest(image_id=str(image_id)))
    assert counts(services) == (0, 0, [])


def test_a_root_that_a_volume_is_made_of_outlives_its_image(services: Services, tmp_path: Path) -> None:
    bundled = bundle(services, tmp_path)
    image_id = str(register_image(services, bundled.owner, request_of(bundled)).image_id)
    run_jobs(services)
    with services.database.write() as c:
        image = images.get(c, bundled.owner.region, image_id, viewer=bundled.owner.account_id)
        assert image is not None
        c.execute(
            schema.volume.insert().values(
                id="vol-0123456789abcdef0", account_id=bundled.owner.account_id, region=bundled.owner.region, zone="z",
                state="in-use", snapshot_id=image.root_snapshot_id, size_gib=1, size_bytes=image.size_bytes,
                volume_type="standard", is_instance_store=True, delete_on_termination=True, created_at=services.now(),
            )
        )  # fmt: skip
    deregister_image(services, bundled.owner, ec2.DeregisterImageRequest(image_id=image_id))
    assert counts(services)[0] == 1
    assert services.blocks.read(str(image.root_snapshot_id), 0) is not None
    with services.database.write() as c:
        c.execute(schema.volume.delete())
        drop_unused_roots(services, c)
    assert counts(services)[0] == 0


def test_the_administrators_kernel_becomes_a_public_file_and_anothers_is_refused(
    services: Services, tmp_path: Path
) -> None:
    bundled = bundle(services, tmp_path, administrator=True, image_type="kernel")
    image_id = str(register_image(services, bundled.owner, request_of(bundled)).image_id)
    run_jobs(services)
    image = image_of(services, bundled.owner, image_id)
    assert image_id.startswith("aki-") and image.image_type == "kernel" and image.state == "available"
    path = services.data / "kernels" / image_id
    assert path.read_bytes() == bundled.content
    plain = replace(bundled.owner, is_administrator=False)
    with pytest.raises(AuthFailure, match="administrator"):
        register_image(services, plain, request_of(bundled, name="again"))
    with services.database.write() as c:
        accounts.set_partner(c, plain.account_id, True)
    again = str(register_image(services, plain, request_of(bundled, name="again")).image_id)
    with services.database.read() as c:
        marks = [images.get(c, plain.region, each, viewer=plain.account_id) for each in (image_id, again)]
    assert [mark is not None and mark.approved_at is not None for mark in marks] == [True, False]
    assert [mark is not None and mark.is_public for mark in marks] == [True, False]
    deregister_image(services, bundled.owner, ec2.DeregisterImageRequest(image_id=image_id))
    assert not path.exists()


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("a-bucket/images/nothing.xml", "403|404"),
        ("no-such-bucket/images/disk.img.manifest.xml", "NoSuchBucket"),
        ("a-bucket/images/disk.img.part.00", "manifest"),
    ],
)
def test_a_location_without_a_manifest_is_refused_by_cause(
    services: Services, tmp_path: Path, location: str, words: str
) -> None:
    bundled = bundle(services, tmp_path)
    with pytest.raises(Refusal, match=words) as refused:
        register_image(services, bundled.owner, request_of(bundled, image_location=location))
    assert refused.value.code == "InvalidManifest"


def test_one_private_part_is_named_before_an_image_is_made(services: Services, tmp_path: Path) -> None:
    bundled = bundle(services, tmp_path)
    put(services, bundled.owner, bundled.bucket, "images/disk.img.part.00", b"x", acl="private")
    with pytest.raises(InvalidManifest, match=r"Part disk\.img\.part\.00: HTTP 403"):
        register_image(services, bundled.owner, request_of(bundled))
    with services.database.read() as c:
        assert images.find_name(c, bundled.owner.account_id, bundled.owner.region, "classic") is None


def test_only_an_active_certificate_vouches_for_a_manifest(services: Services, tmp_path: Path) -> None:
    bundled = bundle(services, tmp_path)
    (born,) = list_signing_certificates(services, bundled.owner, iam.ListSigningCertificatesRequest()).certificates

    def switch(status: str) -> None:
        request = iam.UpdateSigningCertificateRequest(certificate_id=born.certificate_id, status=status)
        update_signing_certificate(services, bundled.owner, request)

    switch("Inactive")
    with pytest.raises(InvalidManifest, match="no signing certificate"):
        register_image(services, bundled.owner, request_of(bundled))
    stranger, _ = make_account(services, "stranger")
    other = iam.UploadSigningCertificateRequest(certificate_body=stranger.certificate_pem)
    upload_signing_certificate(services, bundled.owner, other)
    with pytest.raises(Refusal, match="signature does not fit"):
        register_image(services, bundled.owner, request_of(bundled))
    switch("Active")
    assert register_image(services, bundled.owner, request_of(bundled)).image_id
    gone = iam.DeleteSigningCertificateRequest(certificate_id=born.certificate_id)
    delete_signing_certificate(services, bundled.owner, gone)
    with pytest.raises(Refusal, match="signature does not fit"):
        register_image(services, bundled.owner, request_of(bundled, name="another"))


def test_product_codes_and_ancestors_of_the_manifest_are_kept(services: Services, tmp_path: Path) -> None:
    codes, ancestors = ("774F4FF8", "A1B2C3D4"), ("ami-11111111", "ami-22222222")
    bundled = bundle(services, tmp_path, product_codes=codes, ancestor_ami_ids=ancestors)
    image_id = str(register_image(services, bundled.owner, request_of(bundled, virtualization_type="hvm")).image_id)
    shown = image_of(services, bundled.owner, image_id).product_codes
    assert shown is not None and tuple(code.product_code_id for code in shown) == codes
    for code, expected in (("A1B2*", [image_id]), ("other", [])):
        filtered = ec2.DescribeImagesRequest(filters=[ec2.Filter(name="product-code", values=[code])])
        found = describe_images(services, bundled.owner, filtered).images or []
        assert [image.image_id for image in found] == expected
    asked = ec2.DescribeImageAttributeRequest(image_id=image_id, attribute="productCodes")
    assert describe_image_attribute(services, bundled.owner, asked).product_codes == shown
    with services.database.read() as c:
        image = images.get(c, bundled.owner.region, image_id, viewer=bundled.owner.account_id)
    assert image is not None and (image.product_codes, image.ancestor_ami_ids) == (devpay_codes(codes), ancestors)


@pytest.mark.parametrize("changes", [{"kernel_id": "windows"}, {"name": "windows2003"}])
def test_a_bundle_of_windows_is_hvm_and_says_so(services: Services, tmp_path: Path, changes: dict[str, Any]) -> None:
    bundled = bundle(services, tmp_path, **changes)
    image = image_of(services, bundled.owner, register_image(services, bundled.owner, request_of(bundled)).image_id)
    assert (image.platform, image.virtualization_type, image.kernel_id) == ("windows", "hvm", None)


def test_a_private_bundle_is_refused_with_a_word_about_its_acl(services: Services, tmp_path: Path) -> None:
    bundled = bundle(services, tmp_path, acl="private")
    with pytest.raises(InvalidManifest, match="aws-exec-read"):
        register_image(services, bundled.owner, request_of(bundled))


def test_a_bundle_of_another_user_is_refused(services: Services, tmp_path: Path, other_principal: Principal) -> None:
    bundled = bundle(services, tmp_path)
    with pytest.raises(AuthFailure, match="Manifest is not accessible"):
        register_image(services, other_principal, request_of(bundled))


def test_a_volume_in_the_map_of_a_manifest_is_refused(services: Services, tmp_path: Path) -> None:
    bundled = bundle(services, tmp_path)
    volume = ec2.BlockDeviceMapping(device_name="/dev/sdf", ebs=ec2.EbsBlockDevice(volume_size=1))
    with pytest.raises(Refusal, match="instance-store disk"):
        register_image(services, bundled.owner, request_of(bundled, block_device_mappings=[volume]))


@pytest.mark.parametrize("name", ["/dev/sda1\nx", "sda 1", "/etc/passwd"])
def test_a_root_device_name_that_is_none_is_refused(services: Services, tmp_path: Path, name: str) -> None:
    bundled = bundle(services, tmp_path)
    with pytest.raises(Refusal, match="not a valid EBS device name"):
        register_image(services, bundled.owner, request_of(bundled, root_device_name=name))
