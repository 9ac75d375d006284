"""A launch lies over its template's data as EC2 says it: by member, by device, by tag; what stands twice stays to be refused."""

from typing import Any

import pytest

from amiable.rules.launch_template_data import inherit, lay_over

ROOT = {"device_name": "/dev/sda1", "ebs": {"volume_size": 8, "volume_type": "gp3", "iops": 4000}}
DATA = {"device_name": "/dev/sdf", "ebs": {"snapshot_id": "snap-1", "delete_on_termination": True}}


def devices(*request: dict[str, Any], template: list[Any] | None = None) -> list[Any]:
    below = {"block_device_mappings": [ROOT, DATA] if template is None else template}
    laid: list[Any] = lay_over(below, {"block_device_mappings": list(request)})["block_device_mappings"]
    return laid


def test_a_device_keeps_what_the_request_does_not_say_of_it() -> None:
    assert devices({"device_name": "/dev/sda1", "ebs": {"volume_size": 20}}) == [
        DATA,
        {"device_name": "/dev/sda1", "ebs": {"volume_size": 20, "volume_type": "gp3", "iops": 4000}},
    ]


def test_a_device_that_the_template_lacks_is_one_more() -> None:
    more = {"device_name": "/dev/sdg", "ebs": {"volume_size": 1}}
    assert devices(more) == [ROOT, DATA, more]


@pytest.mark.parametrize("kind", [{"no_device": ""}, {"virtual_name": "ephemeral0"}])
def test_what_becomes_something_else_keeps_nothing(kind: dict[str, str]) -> None:
    asked = {"device_name": "/dev/sdf", **kind}
    assert devices(asked) == [ROOT, asked]


def test_an_entry_of_another_kind_in_the_template_gives_way_too() -> None:
    incomplete = [{"device_name": "/dev/sdf", "no_device": "", "ebs": {"volume_size": 3}}]
    assert devices(DATA, template=incomplete) == [
        {"device_name": "/dev/sdf", "ebs": {"volume_size": 3, "snapshot_id": "snap-1", "delete_on_termination": True}}
    ]
    bare = {"device_name": "/dev/sdf"}
    assert devices(bare, template=[DATA]) == [DATA]


def test_a_device_that_stands_twice_stands_twice_after_it() -> None:
    assert devices(DATA, DATA, template=[]) == [DATA, DATA]
    assert devices(DATA, DATA, template=[ROOT]) == [ROOT, DATA, DATA]
    assert devices(ROOT, template=[DATA, DATA]) == [DATA, DATA, ROOT]


def test_one_metadata_option_leaves_the_others_as_the_template_has_them() -> None:
    below = {"metadata_options": {"http_tokens": "required", "http_put_response_hop_limit": 1}}
    assert lay_over(below, {"metadata_options": {"http_put_response_hop_limit": 2}}) == {
        "metadata_options": {"http_tokens": "required", "http_put_response_hop_limit": 2}
    }


def test_a_profile_and_a_list_are_taken_whole() -> None:
    below = {"iam_instance_profile": {"arn": "a"}, "security_group_ids": ["sg-1"]}
    above = {"iam_instance_profile": {"name": "b"}, "security_group_ids": ["sg-2"]}
    assert lay_over(below, above) == above


def test_a_zone_is_said_in_one_way() -> None:
    below = {"placement": {"availability_zone": "us-east-1a", "tenancy": "default"}}
    assert lay_over(below, {"placement": {"availability_zone_id": "use1-az2"}}) == {
        "placement": {"availability_zone_id": "use1-az2", "tenancy": "default"}
    }


PRIMARY = {"device_index": 0, "subnet_id": "subnet-1", "groups": ["sg-1"], "private_ip_address": "10.0.0.4"}
SECOND = {"device_index": 1, "subnet_id": "subnet-2"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"device_index": 0, "groups": ["sg-2"]}, [SECOND, {**PRIMARY, "groups": ["sg-2"]}]),
        ({"device_index": 1, "network_card_index": 0, "description": "d"}, [PRIMARY, {**SECOND, "network_card_index": 0, "description": "d"}]),
        ({"device_index": 0, "network_card_index": 1}, [PRIMARY, SECOND, {"device_index": 0, "network_card_index": 1}]),
        ({"device_index": 2}, [PRIMARY, SECOND, {"device_index": 2}]),
        ({"device_index": 0, "network_interface_id": "eni-1"}, [SECOND, {"device_index": 0, "network_interface_id": "eni-1"}]),
        (
            {"device_index": 0, "private_ip_addresses": [{"private_ip_address": "10.0.0.9"}]},
            [
                SECOND,
                {
                    "device_index": 0,
                    "subnet_id": "subnet-1",
                    "groups": ["sg-1"],
                    "private_ip_addresses": [{"private_ip_address": "10.0.0.9"}],
                },
            ],
        ),
    ],
    ids=["member by member", "by index", "by card", "one more", "one that is there", "one address"],
)  # fmt: skip
def test_an_interface_lies_over_that_of_its_index(asked: dict[str, Any], expected: list[Any]) -> None:
    below = {"network_interfaces": [PRIMARY, SECOND]}
    assert lay_over(below, {"network_interfaces": [asked]})["network_interfaces"] == expected


def test_an_interface_that_is_there_gives_way_to_one_that_is_described() -> None:
    below = {"network_interfaces": [{"device_index": 0, "network_interface_id": "eni-1"}]}
    assert lay_over(below, {"network_interfaces": [PRIMARY]})["network_interfaces"] == [PRIMARY]


def test_a_version_inherits_all_but_snapshots() -> None:
    gone = {"device_name": "/dev/sdb", "no_device": ""}
    inherited = inherit({"image_id": "ami-1", "block_device_mappings": [ROOT, DATA, gone]})
    bare = {"device_name": "/dev/sdf", "ebs": {"delete_on_termination": True}}
    assert inherited == {"image_id": "ami-1", "block_device_mappings": [ROOT, bare, gone]}
    assert inherit({"image_id": "ami-1"}) == {"image_id": "ami-1"}


def test_tags_of_both_arrive_and_the_requests_win() -> None:
    def tagged(kind: str, **tags: str) -> dict[str, Any]:
        return {"resource_type": kind, "tags": [{"key": key, "value": value} for key, value in tags.items()]}

    below = {"tag_specifications": [tagged("instance", team="a", stage="test"), tagged("volume", team="a")]}
    above = {"tag_specifications": [tagged("instance", stage="live", name="web")]}
    assert lay_over(below, above)["tag_specifications"] == [
        tagged("volume", team="a"),
        tagged("instance", team="a", stage="live", name="web"),
    ]
    twice = {"tag_specifications": [tagged("instance"), tagged("instance")]}
    assert len(lay_over(below, twice)["tag_specifications"]) == 3
