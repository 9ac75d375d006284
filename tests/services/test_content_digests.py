"""Digests from what the store keeps: at completion and conversion, and made up for afterwards."""

from dataclasses import replace
from pathlib import Path

from sqlalchemy import update

from amiable.api.ec2.register_image import register_image
from amiable.api.image_digests import settle_digests
from amiable.database import image_digests, images, schema, snapshots
from amiable.database.image_digests import Seeker
from amiable.model.image import Image
from amiable.model.principal import Principal
from amiable.model.units import BLOCK_BYTES, GIB
from amiable.rules.content_digest import content_digest
from amiable.rules.image_digest import file_digest, image_digest
from amiable.services import Services
from amiable.services.content_digests import is_any_missing
from tests.api.ec2.launching import make_image, make_snapshot
from tests.api.ec2.test_register_manifest import bundle, request_of
from tests.support.work import run_jobs


def get(services: Services, owner: Principal, image_id: str) -> Image:
    with services.database.read() as c:
        found = images.get(c, owner.region, image_id, viewer=owner.account_id)
    assert found is not None
    return found


def written_snapshot(
    services: Services, owner: Principal, blocks: dict[int, bytes], *, parent: str | None = None
) -> str:
    """A completed snapshot with these bytes, each repeated to a block."""
    facts = {"state": "pending", "completed_at": None, "progress_percent": 0}
    snapshot_id = make_snapshot(services, owner, size_gib=2, **facts)
    if parent is not None:
        with services.database.write() as c:
            services.blocks.inherit(c, snapshot_id, parent)
    services.blocks.write(snapshot_id, [(index, byte * BLOCK_BYTES) for index, byte in blocks.items()])
    services.blocks.complete(snapshot_id)
    return snapshot_id


def digest_of_snapshot(services: Services, snapshot_id: str) -> bytes | None:
    with services.database.read() as c:
        found = snapshots.get(c, snapshot_id)
    assert found is not None
    return found.content_digest


def test_a_completed_snapshot_has_the_digest_of_its_disk(services: Services, principal: Principal) -> None:
    one = written_snapshot(services, principal, {0: b"a", 5: b"\0", 3000: b"b"})
    blocks = services.blocks.blocks_of(one)
    assert [index for index, _ in blocks] == [0, 5, 3000]
    assert digest_of_snapshot(services, one) == content_digest(2 * GIB, blocks)
    inherited = written_snapshot(
        services, principal, {3000: b"b"}, parent=written_snapshot(services, principal, {0: b"a"})
    )
    assert digest_of_snapshot(services, inherited) == digest_of_snapshot(services, one)
    other = written_snapshot(services, principal, {0: b"a", 3000: b"c"})
    assert digest_of_snapshot(services, other) != digest_of_snapshot(services, one)


def test_a_converted_bundle_has_the_digest_of_its_bytes(services: Services, tmp_path: Path) -> None:
    bundled = bundle(services, tmp_path)
    image_id = str(register_image(services, bundled.owner, request_of(bundled)).image_id)
    assert get(services, bundled.owner, image_id).content_digest is None
    run_jobs(services)
    image = get(services, bundled.owner, image_id)
    chunks = [bundled.content[at : at + BLOCK_BYTES] for at in range(0, len(bundled.content), BLOCK_BYTES)]
    root = file_digest(chunks, len(bundled.content))
    assert image.content_digest == image_digest(image, {str(image.root_snapshot_id): root})


def test_a_kernel_has_the_digest_of_its_bytes(services: Services, tmp_path: Path) -> None:
    bundled = bundle(services, tmp_path, administrator=True, image_type="kernel")
    image_id = str(register_image(services, bundled.owner, request_of(bundled)).image_id)
    run_jobs(services)
    image = get(services, bundled.owner, image_id)
    chunks = [bundled.content[at : at + BLOCK_BYTES] for at in range(0, len(bundled.content), BLOCK_BYTES)]
    assert image.content_digest == image_digest(image, {image_id: file_digest(chunks, len(bundled.content))})


def test_what_an_earlier_version_left_without_digests_gets_them_at_a_start(
    services: Services, principal: Principal, tmp_path: Path
) -> None:
    bundled = bundle(services, tmp_path, administrator=True, image_type="kernel")
    kernel_id = str(register_image(services, bundled.owner, request_of(bundled)).image_id)
    run_jobs(services)
    snapshot_id = written_snapshot(services, principal, {1: b"x"})
    image = make_image(services, principal, kernel_id=kernel_id)
    device = replace(image.devices[0], snapshot_id=snapshot_id)
    with services.database.write() as c:
        c.execute(update(schema.image_device).values(snapshot_id=snapshot_id))
    expected = {
        kernel_id: get(services, bundled.owner, kernel_id).content_digest,
        snapshot_id: digest_of_snapshot(services, snapshot_id),
    }
    with services.database.write() as c:
        c.execute(update(schema.image).values(content_digest=None))
        c.execute(update(schema.snapshot).values(content_digest=None))
    settle_digests(services)
    run_jobs(services)
    assert get(services, bundled.owner, kernel_id).content_digest == expected[kernel_id]
    assert digest_of_snapshot(services, snapshot_id) == expected[snapshot_id]
    contents = {name: digest for name, digest in expected.items() if digest is not None}
    assert get(services, principal, image.id).content_digest == image_digest(
        replace(image, devices=(device,)), contents
    )
    with services.database.read() as c:
        assert not is_any_missing(c)
    settle_digests(services)
    assert run_jobs(services) == 0


def test_a_launch_by_digest_prefers_ones_own_image_then_a_free_one_then_the_oldest(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    digest = b"\7" * 32
    public = frozenset({"all"})

    def best() -> list[str]:
        with services.database.read() as c:
            seeker = Seeker(principal.account_id, principal.region, services.now())
            return image_digests.equal_images(c, digest, seeker, limit=9)

    hidden = make_image(services, other_principal, content_digest=digest)
    costly = make_image(services, other_principal, content_digest=digest, grantees=public)
    with services.database.write() as c:
        c.execute(
            schema.resource_product_code.insert().values(
                resource_id=costly.id, position=0, code="774F4FF8", type="marketplace"
            )
        )
    old = make_image(services, other_principal, content_digest=digest, grantees=public)
    new = make_image(services, other_principal, content_digest=digest, grantees=frozenset({principal.account_id}))
    assert best() == [old.id, new.id, costly.id]
    own = make_image(services, principal, content_digest=digest)
    assert best()[0] == own.id and hidden.id not in best()
