"""What RegisterImage does with the assurance sidecar beside a manifest."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest

from amiable.api.accounts import create_account
from amiable.api.ec2.describe_images import describe_images
from amiable.api.ec2.register_image import register_image
from amiable.bundle.assurance import Assurance, read_assurance, write_assurance
from amiable.bundle.assurance_tables import unseal
from amiable.bundle.dsse import load_signing_key, load_trusted_keys
from amiable.bundle.keys import load_private_key
from amiable.bundle.manifest_xml import read_manifest
from amiable.bundle.pipeline import Recipe, create
from amiable.bundle.recorder import Recorder
from amiable.bundle.unbundle import unwrap_keys
from amiable.database import accounts, images
from amiable.model.errors import BundleRefusal
from amiable.model.principal import Principal
from amiable.rules.content_digest import content_digest
from amiable.services import Services
from amiable.wire.generated import ec2
from tests.support.buckets import make_bucket, put
from tests.support.cases import cases_dir
from tests.support.services import open_services
from tests.support.work import run_jobs

KEYS = cases_dir() / "bundles" / "keys"
ACCOUNT = "123456789012"
NAME = "disk.img"


@dataclass
class Cloud:
    """Services whose bundling key is the cases', their bundler, and a bundle of his with its sidecar."""

    services: Services
    bundler: Principal
    bucket: str
    folder: Path

    def upload(self, prefix: str, sidecar: bytes | None = None, acl: str = "aws-exec-read") -> None:
        """Puts the bundle under ``prefix``, with another ``sidecar`` if one is given, which has ``acl``."""
        for path in self.folder.glob(f"{NAME}.*"):
            is_sidecar = path.name.endswith(".assurance.json")
            body = sidecar if is_sidecar and sidecar is not None else path.read_bytes()
            self.put(f"{prefix}/{path.name}", body, acl if is_sidecar else "aws-exec-read")

    def put(self, key: str, body: bytes, acl: str = "aws-exec-read") -> None:
        put(self.services, self.bundler, self.bucket, key, body, acl=acl)

    def register(self, prefix: str) -> str:
        location = f"{self.bucket}/{prefix}/{NAME}.manifest.xml"
        request = ec2.RegisterImageRequest(name=f"image {prefix}", image_location=location)
        image_id = register_image(self.services, self.bundler, request).image_id
        assert image_id is not None
        return image_id

    def outcome(self, image_id: str) -> tuple[str | None, str]:
        """The state of the image once its job has run, and the reason."""
        run_jobs(self.services)
        request = ec2.DescribeImagesRequest(image_ids=[image_id])
        found = describe_images(self.services, self.bundler, request).images
        assert found is not None
        reason = found[0].state_reason
        return found[0].state, "" if reason is None else reason.message or ""

    def assurance(self) -> Assurance:
        """What the sidecar says."""
        document = (self.folder / f"{NAME}.manifest.xml").read_bytes()
        sidecar = (self.folder / f"{NAME}.assurance.json").read_bytes()
        trusted = load_trusted_keys((KEYS / "user.crt").read_bytes())
        return read_assurance(sidecar, trusted, read_manifest(document), document)

    def forged(self, change: Callable[[Assurance], Assurance], signed_by: str = "user.key") -> bytes:
        """The sidecar with ``change`` made to what it says, signed anew."""
        said = change(self.assurance())
        return write_assurance(said, f"{NAME}.manifest.xml", [load_signing_key((KEYS / signed_by).read_bytes())])


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("bundle")
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(3 << 20)
        os.pwrite(file.fileno(), os.urandom(600_000), 1 << 20)
    user_crt, user_key, ec2_crt = ((KEYS / name).read_bytes() for name in ("user.crt", "user.key", "ec2.crt"))
    with Recorder() as recorder:
        create(Recipe(image, NAME, ACCOUNT, "x86_64", user_crt, user_key, ec2_crt), folder, recorder=recorder)
    with open_services(tmp_path_factory.mktemp("cloud") / "data") as opened:
        installation = replace(
            opened.installation,
            bundling_pem=(KEYS / "ec2.crt").read_text(),
            bundling_key_pem=(KEYS / "ec2.key").read_text(),
        )
        services = replace(opened, installation=installation)
        made = create_account(services, "bundler", administrator=True, account_id=ACCOUNT)
        pem = (KEYS / "user.crt").read_text()
        with services.database.write() as c:
            accounts.insert_signing_certificate(
                c, certificate_id=sha256(pem.encode()).hexdigest(), account_id=ACCOUNT, pem=pem, now=services.now()
            )
        bundler = Principal(ACCOUNT, made.access_key_id, services.settings.region, is_administrator=True)
        yield Cloud(services, bundler, make_bucket(services, bundler), folder)


def test_an_image_with_a_sidecar_that_fits_becomes_available(cloud: Cloud) -> None:
    cloud.upload("fits")
    image_id = cloud.register("fits")
    assert cloud.outcome(image_id) == ("available", "")
    # Its root in the block store has the very content digest that the sidecar has sealed.
    with cloud.services.database.read() as c:
        image = images.get(c, cloud.bundler.region, image_id, viewer=ACCOUNT)
    assert image is not None and image.root_snapshot_id is not None and image.size_bytes == 3 << 20
    blocks = [cloud.services.blocks.read(image.root_snapshot_id, index) for index in range(6)]
    digests = [(index, sha256(block).digest()) for index, block in enumerate(blocks) if block is not None]
    manifest = read_manifest((cloud.folder / f"{NAME}.manifest.xml").read_bytes())
    secrets = unwrap_keys(manifest, load_private_key((KEYS / "user.key").read_bytes()))
    sealed = cloud.assurance().sealed
    assert content_digest(image.size_bytes, digests) == unseal(sealed, *secrets, manifest).content_digest


def test_a_sidecar_that_the_service_may_not_read_is_as_none(cloud: Cloud) -> None:
    cloud.upload("private", sidecar=b"no sidecar at all", acl="private")
    assert cloud.outcome(cloud.register("private"))[0] == "available"


def test_a_sidecar_of_a_stranger_is_refused_in_the_call(cloud: Cloud) -> None:
    cloud.upload("stranger", sidecar=cloud.forged(lambda said: said, signed_by="ec2.key"))
    with pytest.raises(BundleRefusal, match="not signed by a key that is trusted") as refused:
        cloud.register("stranger")
    assert (refused.value.code, refused.value.stage) == ("InvalidManifest", "assurance")


def test_a_sidecar_of_another_manifest_is_refused_in_the_call(cloud: Cloud) -> None:
    cloud.upload("other", sidecar=cloud.forged(lambda said: replace(said, manifest_sha256=bytes(32))))
    with pytest.raises(BundleRefusal, match="belongs to another manifest"):
        cloud.register("other")


def test_a_sidecar_that_changed_after_the_call_fails_the_image(cloud: Cloud) -> None:
    cloud.upload("changed")
    image_id = cloud.register("changed")
    cloud.put(f"changed/{NAME}.assurance.json", cloud.forged(lambda said: said))
    state, reason = cloud.outcome(image_id)
    assert state == "failed" and "changed or removed after the image was registered" in reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda said: replace(said, part_sha256s=dict.fromkeys(said.part_sha256s, bytes(32))), "Part disk.img.part.00"),
        (lambda said: replace(said, stream_sha256=bytes(32)), "The tar stream is not the one"),
        (lambda said: replace(said, sealed=bytes(100)), "does not open with the bundle's key"),
    ],
    ids=["part", "stream", "sealed"],
)
def test_what_the_sidecar_says_otherwise_fails_the_image_with_the_reason(
    cloud: Cloud, change: Callable[[Assurance], Assurance], words: str, request: pytest.FixtureRequest
) -> None:
    prefix = request.node.callspec.id
    cloud.upload(prefix, sidecar=cloud.forged(change))
    state, reason = cloud.outcome(cloud.register(prefix))
    assert state == "failed" and words in reason and reason.startswith("Client.InvalidManifest")
