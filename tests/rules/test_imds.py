"""The metadata tree."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from amiable.model.instance import MetadataOptions, State
from amiable.model.product import ProductCode, ProductCodeType
from amiable.rules import imds
from tests.rules.instances import AN_INSTANCE

INSTANCE = replace(
    AN_INSTANCE,
    id="i-0123456789abcdef0",
    reservation_id="r-0123456789abcdef0",
    launch_index=1,
    image_id="ami-0123456789abcdef0",
    key_name="my key",
    public_key="ssh-ed25519 AAAA my-key",
    user_data=b"\x00#!/bin/sh\n",
    vpc_id="vpc-1",
    subnet_id="subnet-1",
    security_group_ids=("sg-1",),
    private_ip="172.31.0.10",
    interface_id="eni-1",
    host="here",
    launched_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)
ETH0 = imds.Interface(
    id="eni-1",
    mac="02:00:00:00:00:01",
    device_number=0,
    private_ip="172.31.0.10",
    subnet_id="subnet-1",
    subnet_cidr="172.31.0.0/20",
    vpc_id="vpc-1",
    vpc_cidr="172.31.0.0/16",
    group_ids=("sg-1",),
    group_names=("default",),
)
FACTS = imds.Facts(
    instance=INSTANCE,
    image_location="123456789012/tiny",
    volumes=("/dev/sdf",),
    local_disks={"ephemeral0": "/dev/sdb"},
    interfaces=(ETH0,),
    zone_id="use1-az1",
    tags={"Name": "box"},
)


def get(path: str, facts: imds.Facts = FACTS) -> str | None:
    found = imds.answer(facts, path, sign=lambda kind, document: f"{kind} of {len(document)}")
    return None if found is None else found.body.decode()


def change(**values: Any) -> imds.Facts:
    return replace(FACTS, instance=replace(INSTANCE, **values))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/latest", "dynamic\nmeta-data\nuser-data"),
        ("/latest/", "dynamic\nmeta-data\nuser-data"),
        ("/latest/meta-data/instance-id", "i-0123456789abcdef0"),
        ("/2021-03-23/meta-data/instance-id", "i-0123456789abcdef0"),
        ("/latest/meta-data/ami-launch-index", "1"),
        ("/latest/meta-data/ami-manifest-path", "(unknown)"),
        ("/latest/meta-data/hostname", "ip-172-31-0-10.ec2.internal"),
        ("/latest/meta-data/public-keys/", "0=my key"),
        ("/latest/meta-data/public-keys/0/", "openssh-key"),
        ("/latest/meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA my key\n"),
        ("/latest/meta-data/block-device-mapping/", "ami\nebs1\nephemeral0\nroot"),
        ("/latest/meta-data/block-device-mapping/ami", "sda1"),
        ("/latest/meta-data/block-device-mapping/root", "/dev/sda1"),
        ("/latest/meta-data/block-device-mapping/ebs1", "sdf"),
        ("/latest/meta-data/network/interfaces/macs/", "02:00:00:00:00:01/"),
        ("/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/subnet-ipv4-cidr-block", "172.31.0.0/20"),
        ("/latest/meta-data/placement/", "availability-zone\navailability-zone-id\nregion"),
        ("/latest/meta-data/services/domain", "amazonaws.com"),
        ("/latest/dynamic/", "fws/\ninstance-identity/"),
        ("/latest/dynamic/instance-identity/", "document\ndsa2048\npkcs7\nrsa2048\nsignature"),
    ],
)
def test_a_path_gives_its_text(path: str, text: str) -> None:
    assert get(path) == text


@pytest.mark.parametrize(
    "path",
    [
        "/latest/meta-data/kernel-id",
        "/latest/meta-data/public-ipv4",
        "/latest/meta-data/iam/info",
        "/latest/meta-data/tags/instance/Name",
        "/latest/meta-data/instance-id/x",
        "/latest/meta-data/nothing",
        "/latest/nothing",
        "/2099-01-01/meta-data/instance-id",
        "/latest/dynamic/instance-identity/rsa4096",
        "/1.0/meta-data/mac",
        "/2009-04-04/meta-data/network/",
    ],
)
def test_what_has_no_value_is_absent(path: str) -> None:
    assert get(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/2009-04-04",
        "/2009-04-04/",
        "/latest/user-data",
        "/latest/user-data/",
        "//latest//meta-data//",
        "/latest/meta-data",
    ],
)
def test_directories_and_user_data_are_served_with_and_without_a_slash(path: str) -> None:
    found = imds.answer(FACTS, path, sign=lambda *_: "")
    assert found is not None and found == imds.answer(FACTS, path.rstrip("/"), sign=lambda *_: "")


def test_an_older_image_is_told_less_where_it_asks_by_an_older_version() -> None:
    assert get("/1.0/") == "meta-data\nuser-data"
    assert get("/2009-04-04/") == "dynamic\nmeta-data\nuser-data"


def test_every_interface_is_told_and_the_first_is_the_instances() -> None:
    second = replace(ETH0, id="eni-2", mac="02:00:00:00:00:02", device_number=1, private_ip="172.31.0.11")
    facts = replace(FACTS, interfaces=(replace(ETH0, public_ip="203.0.113.5"), second))
    macs = "/latest/meta-data/network/interfaces/macs/"
    assert get(macs, facts) == "02:00:00:00:00:01/\n02:00:00:00:00:02/"
    assert get(f"{macs}{second.mac}/device-number", facts) == "1"
    assert get(f"{macs}{second.mac}/local-hostname", facts) == "ip-172-31-0-11.ec2.internal"
    assert get(f"{macs}{ETH0.mac}/ipv4-associations/203.0.113.5", facts) == "172.31.0.10"
    assert get("/latest/meta-data/public-hostname", facts) == "ec2-203-0-113-5.compute-1.amazonaws.com"
    assert get(f"{macs}{second.mac}/public-ipv4s", facts) is None


def test_a_public_name_is_told_where_the_vpc_gives_names() -> None:
    nameless = replace(FACTS, interfaces=(replace(ETH0, public_ip="203.0.113.5", has_public_name=False),))
    assert get("/latest/meta-data/public-ipv4", nameless) == "203.0.113.5"
    assert get("/latest/meta-data/public-hostname", nameless) is None
    assert get(f"/latest/meta-data/network/interfaces/macs/{ETH0.mac}/public-ipv4s", nameless) == "203.0.113.5"
    assert get(f"/latest/meta-data/network/interfaces/macs/{ETH0.mac}/public-hostname", nameless) is None


def test_local_disks_are_told_by_the_names_that_the_mapping_gave_them() -> None:
    crossed = replace(FACTS, local_disks={"ephemeral1": "/dev/sdb", "ephemeral0": "/dev/sdc"})
    assert get("/latest/meta-data/block-device-mapping/ephemeral1", crossed) == "sdb"
    assert get("/latest/meta-data/block-device-mapping/ephemeral0", crossed) == "sdc"


def test_a_tag_whose_key_is_percent_encoded_in_the_path_is_found() -> None:
    tagged = replace(change(metadata=MetadataOptions("optional", "enabled", 1, "enabled")), tags={"a:b%é": "x"})
    assert get("/latest/meta-data/tags/instance/a%3Ab%25%C3%A9", tagged) == "x"


def test_a_profile_without_a_role_tells_of_itself_only() -> None:
    bare = replace(FACTS, profile=imds.Credentials(lambda: "{}", None, lambda: ""))
    assert get("/latest/meta-data/iam/", bare) == "info"
    held = replace(FACTS, profile=imds.Credentials(lambda: "{}", "worker", lambda: "secret"))
    assert get("/latest/meta-data/iam/security-credentials/", held) == "worker"
    assert get("/latest/meta-data/iam/security-credentials/worker", held) == "secret"
    assert get("/latest/meta-data/iam/security-credentials/other", held) is None


def test_every_leaf_of_every_version_that_is_listed_is_served() -> None:
    def walk(path: str) -> int:
        text = get(path)
        assert text is not None, path
        if path.endswith("/public-keys/"):
            return walk(path + "0/")
        return sum(
            walk(path + name) if name.endswith("/") else get(path + name) is not None for name in text.split("\n")
        )

    for version in imds.VERSIONS:
        assert walk(f"/{version}/meta-data/") > 8, version


def test_versions_are_listed_and_each_is_known() -> None:
    listed = get("/")
    assert listed is not None
    assert {"2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest"} <= set(listed.split("\n"))


def test_user_data_is_served_byte_for_byte_or_absent() -> None:
    found = imds.answer(FACTS, "/latest/user-data", sign=lambda *_: "")
    assert found is not None and found.body == b"\x00#!/bin/sh\n" and found.is_binary
    assert get("/latest/user-data", change(user_data=None)) is None


def test_paravirtual_and_bundled_instances_tell_kernel_and_manifest() -> None:
    facts = change(
        kernel_id="aki-1", ramdisk_id="ari-1", root_device_type="instance-store", virtualization_type="paravirtual"
    )
    assert get("/latest/meta-data/kernel-id", facts) == "aki-1"
    assert get("/latest/meta-data/ramdisk-id", facts) == "ari-1"
    assert get("/latest/meta-data/ami-manifest-path", facts) == "123456789012/tiny"
    assert get("/latest/meta-data/profile", facts) == "default-paravirtual"


def test_tags_are_told_only_where_the_instance_allows_it() -> None:
    facts = change(metadata=MetadataOptions("optional", "enabled", 1, "enabled"))
    assert get("/latest/meta-data/tags/instance/Name", facts) == "box"
    assert get("/2009-04-04/meta-data/tags/instance/Name", facts) is None


@pytest.mark.parametrize(
    ("state", "action"), [(State.RUNNING, "none"), (State.STOPPING, "shutdown"), (State.SHUTTING_DOWN, "shutdown")]
)
def test_a_guest_that_is_to_end_is_told_so(state: State, action: str) -> None:
    assert get("/latest/meta-data/instance-action", change(state=state)) == action


def test_a_user_without_a_key_pair_has_no_public_keys() -> None:
    facts = change(key_name=None, public_key=None)
    assert get("/latest/meta-data/public-keys/", facts) is None


def test_the_identity_document_is_json_with_nulls_and_is_what_is_signed() -> None:
    text = get("/latest/dynamic/instance-identity/document")
    assert text is not None and '"accountId" : "123456789012"' in text
    document = json.loads(text)
    assert document["kernelId"] is None and document["pendingTime"] == "2026-01-02T03:04:05Z"
    assert get("/latest/dynamic/instance-identity/signature") == f"signature of {len(text)}"


def test_product_codes_are_told_by_their_kind() -> None:
    codes = (ProductCode("774F4FF8"), ProductCode("suite", ProductCodeType.MARKETPLACE))
    facts = change(product_codes=codes)
    assert get("/latest/meta-data/product-codes", facts) == "774F4FF8\nsuite"
    document = json.loads(get("/latest/dynamic/instance-identity/document", facts) or "")
    assert (document["devpayProductCodes"], document["marketplaceProductCodes"]) == (["774F4FF8"], ["suite"])
    document = json.loads(get("/latest/dynamic/instance-identity/document") or "")
    assert (document["devpayProductCodes"], document["marketplaceProductCodes"]) == (None, None)


def test_elsewhere_than_in_us_east_1_the_name_has_the_region() -> None:
    assert (
        get("/latest/meta-data/local-hostname", change(region="eu-west-1"))
        == "ip-172-31-0-10.eu-west-1.compute.internal"
    )


def test_ancestors_are_there_one_a_line_where_the_image_has_some() -> None:
    older = replace(FACTS, ancestor_ami_ids=("ami-1", "ami-2"))
    assert get("/latest/meta-data/ancestor-ami-ids", older) == "ami-1\nami-2"
    assert "ancestor-ami-ids" in (get("/2007-10-10/meta-data/", older) or "")
    assert "ancestor-ami-ids" not in (get("/1.0/meta-data/", older) or "")
    assert get("/latest/meta-data/ancestor-ami-ids") is None
