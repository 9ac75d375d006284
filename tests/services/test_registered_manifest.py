"""A launch of an image whose manifest was changed, removed, put back: refused with the reason, and not refused."""

from hashlib import sha256

import pytest
from sqlalchemy import select

from amiable.api.ec2.instance_states import reboot_instances
from amiable.database import instances, objects, schema
from amiable.model import ids
from amiable.model.errors import InvalidManifest
from amiable.model.image import Image
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.services import Services
from amiable.wire.generated import ec2
from tests.api.ec2.launching import make_instance_store_image, make_kernel, run_one
from tests.support.buckets import make_bucket, put

BODY = b"<?xml version='1.0'?><manifest/>"
KEY = "folder/image.manifest.xml"


def registered(services: Services, owner: Principal) -> Image:
    """An available image whose manifest lies where it was registered from."""
    bucket = make_bucket(services, owner)
    put(services, owner, bucket, KEY, BODY)
    return make_instance_store_image(services, owner, location=f"{bucket}/{KEY}", manifest_digest=sha256(BODY).digest())


def test_an_image_whose_manifest_is_as_it_was_launches(services: Services, principal: Principal) -> None:
    assert run_one(services, principal, registered(services, principal))


def test_a_changed_manifest_refuses_the_launch_and_names_itself(services: Services, principal: Principal) -> None:
    image = registered(services, principal)
    put(services, principal, "a-bucket", KEY, BODY + b" ")
    with pytest.raises(InvalidManifest, match=rf"s3://a-bucket/{KEY} was changed after {image.id} was registered"):
        run_one(services, principal, image)


def test_a_manifest_larger_than_any_is_changed_without_being_read(services: Services, principal: Principal) -> None:
    image = registered(services, principal)
    put(services, principal, "a-bucket", KEY, BODY, size_bytes=1 << 40)
    with pytest.raises(InvalidManifest, match="was changed"):
        run_one(services, principal, image)


def test_a_removed_manifest_refuses_the_launch_until_it_is_put_back(services: Services, principal: Principal) -> None:
    image = registered(services, principal)
    with services.database.write() as c:
        objects.delete_object(c, "a-bucket", KEY)
    with pytest.raises(InvalidManifest, match="is gone"):
        run_one(services, principal, image)
    put(services, principal, "a-bucket", KEY, BODY)
    assert run_one(services, principal, image)


def test_a_changed_manifest_of_the_kernel_refuses_the_launch(services: Services, principal: Principal) -> None:
    image = registered(services, principal)
    put(services, principal, "a-bucket", "kernel.manifest.xml", BODY)
    kernel = make_kernel(
        services, principal, ids.AKI, location="a-bucket/kernel.manifest.xml", manifest_digest=sha256(b"other").digest()
    )
    with pytest.raises(InvalidManifest, match=kernel.id):
        run_one(services, principal, image, kernel_id=kernel.id)


def test_what_runs_is_not_concerned(services: Services, principal: Principal) -> None:
    instance_id = run_one(services, principal, registered(services, principal))
    with services.database.write() as c:
        instances.set_state(c, instance_id, Event.BOOTED, now=services.now())
        objects.delete_object(c, "a-bucket", KEY)
    reboot_instances(services, principal, ec2.RebootInstancesRequest(instance_ids=[instance_id]))
    with services.database.read() as c:
        assert "reboot" in c.execute(select(schema.job.c.kind)).scalars().all()
