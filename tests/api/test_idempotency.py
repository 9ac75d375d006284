"""What makes two requests the same for a client token."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.api.ec2.volumes import create_volume
from amiable.api.idempotency import request_hash
from amiable.model.errors import IdempotentParameterMismatch
from amiable.wire.generated import ec2
from tests.support.services import make_account, open_services

BASE = ec2.RunInstancesRequest(image_id="ami-1", min_count=1, max_count=1)
REQUESTS = st.builds(
    ec2.RunInstancesRequest,
    image_id=st.sampled_from(["ami-1", "ami-2"]),
    min_count=st.integers(1, 2),
    max_count=st.integers(1, 2),
    user_data=st.sampled_from([None, "", "eA=="]),
    security_group_ids=st.sampled_from([None, ["sg-1"], ["sg-1", "sg-2"]]),
    client_token=st.sampled_from([None, "a", "b"]),
    dry_run=st.sampled_from([None, True, False]),
)


@given(REQUESTS, REQUESTS)
def test_two_requests_are_the_same_when_every_parameter_but_token_and_dry_run_is(
    one: ec2.RunInstancesRequest, two: ec2.RunInstancesRequest
) -> None:
    plain = [msgspec.structs.replace(each, client_token=None, dry_run=None) for each in (one, two)]
    assert (request_hash(one) == request_hash(two)) == (plain[0] == plain[1])


def test_what_lies_deep_in_a_request_counts() -> None:
    def sized(size: int) -> ec2.RunInstancesRequest:
        mapping = ec2.BlockDeviceMapping(device_name="/dev/sda1", ebs=ec2.EbsBlockDevice(volume_size=size))
        return msgspec.structs.replace(BASE, block_device_mappings=[mapping])

    assert request_hash(sized(8)) != request_hash(sized(9))
    assert request_hash(sized(8)) == request_hash(sized(8))


def test_a_volumes_token_is_its_zones_own(tmp_path: Path) -> None:
    with open_services(tmp_path / "data", zones=("us-east-1a", "us-east-1b")) as services:
        principal = make_account(services)[1]

        def made(zone: str, size: int = 1) -> tuple[str | None, str | None]:
            request = ec2.CreateVolumeRequest(availability_zone=zone, size=size, client_token="t")
            volume = create_volume(services, principal, request)
            return volume.availability_zone, volume.volume_id

        first, second = made("us-east-1a"), made("us-east-1b")
        assert (first[0], second[0]) == ("us-east-1a", "us-east-1b")
        assert (made("us-east-1a"), made("us-east-1b")) == (first, second)
        with pytest.raises(IdempotentParameterMismatch):
            made("us-east-1b", size=2)
