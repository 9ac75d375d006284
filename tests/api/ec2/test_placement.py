"""Regions and zones are what the settings say: change a setting, and the answer changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from amiable.api.ec2 import placement as api
from amiable.model.errors import Refusal
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.wire.generated import ec2
from tests.support.services import make_account, open_services


def zones(services: Services, principal: Principal, **parameters: Any) -> list[tuple[str | None, str | None]]:
    request = ec2.DescribeAvailabilityZonesRequest(**parameters)
    answer = api.describe_availability_zones(services, principal, request)
    return [(zone.zone_name, zone.zone_id) for zone in answer.availability_zones or []]


def regions(services: Services, principal: Principal, **parameters: Any) -> list[tuple[str | None, str | None]]:
    answer = api.describe_regions(services, principal, ec2.DescribeRegionsRequest(**parameters))
    return [(region.region_name, region.endpoint) for region in answer.regions or []]


def test_the_default_is_one_region_with_one_zone(services: Services, principal: Principal) -> None:
    assert zones(services, principal) == [("us-east-1a", "use1-az1")]
    assert [name for name, _ in regions(services, principal)] == ["us-east-1"]


def test_the_settings_name_region_and_zones(tmp_path: Path) -> None:
    with open_services(tmp_path / "data", region="eu-central-2", zones=("eu-central-2a", "rack-7")) as services:
        principal = make_account(services)[1]
        assert zones(services, principal) == [("eu-central-2a", "euc2-az1"), ("rack-7", "euc2-az2")]
        assert [name for name, _ in regions(services, principal)] == ["eu-central-2"]
        assert zones(services, principal, zone_names=["rack-7"]) == [("rack-7", "euc2-az2")]
        assert zones(services, principal, zone_ids=["euc2-az1"]) == [("eu-central-2a", "euc2-az1")]
        only = [ec2.Filter(name="zone-name", values=["rack-*"])]
        assert zones(services, principal, filters=only) == [("rack-7", "euc2-az2")]


def test_the_endpoint_is_where_the_running_server_listens(services: Services, principal: Principal) -> None:
    (services.data / "server.json").write_text(json.dumps({"endpoint": "http://127.0.0.1:41234"}))
    assert regions(services, principal) == [("us-east-1", "127.0.0.1:41234")]


@pytest.mark.parametrize(
    ("region", "prefix"),
    [
        ("us-east-1", "use1"),
        ("ap-southeast-2", "apse2"),
        ("us-gov-west-1", "usgovw1"),
        ("attic", "attic"),
        ("my-lab", "mylab"),
    ],
)
def test_zone_ids_carry_ec2s_short_form_of_the_region(region: str, prefix: str) -> None:
    assert api.zone_id_prefix(region) == prefix


def test_regions_and_zones_that_are_not_there_and_unknown_filters_are_refused(
    services: Services, principal: Principal
) -> None:
    unknown = [ec2.Filter(name="colour", values=["x"])]
    for call, parameters in (
        (regions, {"region_names": ["eu-west-1"]}),
        (regions, {"filters": unknown}),
        (zones, {"zone_names": ["us-east-1b"]}),
        (zones, {"zone_ids": ["use1-az9"]}),
        (zones, {"filters": unknown}),
    ):
        with pytest.raises(Refusal) as caught:
            call(services, principal, **parameters)
        assert caught.value.code == "InvalidParameterValue"
