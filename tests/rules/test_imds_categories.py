"""EC2's table of metadata categories, as the reference has it, against the tree: each category under each version.

served       under versions at or after ``Since``, where the instance has what it tells of
absent       404 under every version, because what it tells of is not there (``ABSENT`` says why)
"""

from dataclasses import replace

import pytest

from amiable.model.instance import MetadataOptions
from amiable.model.product import ProductCode
from amiable.rules import imds
from tests.rules.test_imds import ETH0, FACTS, INSTANCE

LISTED = (
    "1.0 2007-01-19 2007-03-01 2007-08-29 2007-10-10 2007-12-15 2008-02-01 2008-09-01 2009-04-04 2011-01-01 2011-05-01 2012-01-12 "
    "2014-02-25 2014-11-05 2015-10-20 2016-04-19 2016-06-30 2016-09-02 2016-11-15 2016-11-30 2018-05-23 2018-08-17 2018-09-24 "
    "2018-11-29 2019-10-01 2020-08-24 2020-10-27 2020-11-01 2021-01-03 2021-03-23 2021-07-15 latest"
)
VERSIONS = LISTED.split()
"""Those that the reference lists, and those that its column *Since* names."""

MAC = "network/interfaces/macs/02:00:00:00:00:01"
TABLE = {
    "ami-id": "1.0",
    "ami-launch-index": "1.0",
    "ami-manifest-path": "1.0",
    "ancestor-ami-ids": "2007-10-10",
    "autoscaling/target-lifecycle-state": "2021-07-15",
    "block-device-mapping/ami": "2007-12-15",
    "block-device-mapping/root": "2007-12-15",
    "block-device-mapping/ebs1": "2007-12-15",
    "block-device-mapping/ephemeral0": "2007-12-15",
    "block-device-mapping/swap": "2007-12-15",
    "elastic-gpus/associations/eg-1": "2016-11-30",
    "elastic-inference/associations/eia-1": "2018-11-29",
    "events/maintenance/history": "2018-08-17",
    "events/maintenance/scheduled": "2018-08-17",
    "events/recommendations/rebalance": "2020-10-27",
    "hostname": "1.0",
    "iam/info": "2012-01-12",
    "iam/security-credentials/worker": "2012-01-12",
    "identity-credentials/ec2/info": "2018-05-23",
    "identity-credentials/ec2/security-credentials/ec2-instance": "2018-05-23",
    "instance-action": "2008-09-01",
    "instance-id": "1.0",
    "instance-life-cycle": "2019-10-01",
    "instance-type": "2007-08-29",
    "ipv6": "2021-01-03",
    "kernel-id": "2008-02-01",
    "local-hostname": "2007-01-19",
    "local-ipv4": "1.0",
    "mac": "2011-01-01",
    "managed-ssh-keys/active-keys/root": "1.0",
    "metrics/vhostmd": "2011-05-01",
    f"{MAC}/device-number": "2011-01-01",
    f"{MAC}/interface-id": "2011-01-01",
    f"{MAC}/ipv4-associations/203.0.113.5": "2011-01-01",
    f"{MAC}/ipv6s": "2016-06-30",
    f"{MAC}/local-hostname": "2011-01-01",  # the table has 2007-01-19, before the directory that it is in
    f"{MAC}/local-ipv4s": "2011-01-01",
    f"{MAC}/mac": "2011-01-01",
    f"{MAC}/network-card-index": "2020-11-01",
    f"{MAC}/owner-id": "2011-01-01",
    f"{MAC}/public-hostname": "2011-01-01",
    f"{MAC}/public-ipv4s": "2011-01-01",
    f"{MAC}/security-groups": "2011-01-01",
    f"{MAC}/security-group-ids": "2011-01-01",
    f"{MAC}/subnet-id": "2011-01-01",
    f"{MAC}/subnet-ipv4-cidr-block": "2011-01-01",
    f"{MAC}/subnet-ipv6-cidr-blocks": "2016-06-30",
    f"{MAC}/vpc-id": "2011-01-01",
    f"{MAC}/vpc-ipv4-cidr-block": "2011-01-01",
    f"{MAC}/vpc-ipv4-cidr-blocks": "2016-06-30",
    f"{MAC}/vpc-ipv6-cidr-blocks": "2016-06-30",
    "placement/availability-zone": "2008-02-01",
    "placement/availability-zone-id": "2019-10-01",
    "placement/group-name": "2020-08-24",
    "placement/host-id": "2020-08-24",
    "placement/partition-number": "2020-08-24",
    "placement/region": "2020-08-24",
    "product-codes": "2007-03-01",
    "profile": "1.0",
    "public-hostname": "2007-01-19",
    "public-ipv4": "2007-01-19",
    "public-keys/": "1.0",
    "public-keys/0/": "1.0",
    "public-keys/0/openssh-key": "1.0",
    "ramdisk-id": "2007-10-10",
    "reservation-id": "1.0",
    "security-groups": "1.0",
    "services/domain": "2014-02-25",
    "services/partition": "2015-10-20",
    "spot/instance-action": "2016-11-15",
    "spot/termination-time": "2014-11-05",
    "system": "1.0",
    "tags/instance/Name": "2021-03-23",
}
ABSENT = {
    "autoscaling/target-lifecycle-state": "no instance is in a group",
    "block-device-mapping/swap": "no instance has a swap device of its own",
    "elastic-gpus/associations/eg-1": "there are none",
    "elastic-inference/associations/eia-1": "there is none",
    "events/recommendations/rebalance": "no notice is ever given",
    "ipv6": "no instance has an IPv6 address",
    "managed-ssh-keys/active-keys/root": "none are pushed",
    "metrics/vhostmd": "no longer available on EC2 either",
    f"{MAC}/ipv6s": "no instance has an IPv6 address",
    f"{MAC}/network-card-index": "every type has one card",
    f"{MAC}/subnet-ipv6-cidr-blocks": "no subnet has one",
    f"{MAC}/vpc-ipv6-cidr-blocks": "no VPC has one",
    "placement/group-name": "there are no placement groups",
    "placement/host-id": "there are no dedicated hosts",
    "placement/partition-number": "there are no placement groups",
    "spot/instance-action": "no instance is a spot instance",
    "spot/termination-time": "no instance is a spot instance",
}
IF_THERE = {  # 404 where the instance has none
    "ancestor-ami-ids",
    "block-device-mapping/ebs1",
    "block-device-mapping/ephemeral0",
    "iam/info",
    "iam/security-credentials/worker",
    "identity-credentials/ec2/info",
    "identity-credentials/ec2/security-credentials/ec2-instance",
    "kernel-id",
    f"{MAC}/ipv4-associations/203.0.113.5",
    f"{MAC}/public-hostname",
    f"{MAC}/public-ipv4s",
    "product-codes",
    "public-hostname",
    "public-ipv4",
    "public-keys/",
    "public-keys/0/",
    "public-keys/0/openssh-key",
    "ramdisk-id",
    "tags/instance/Name",
}
RICH = replace(
    FACTS,
    instance=replace(
        INSTANCE,
        kernel_id="aki-1",
        ramdisk_id="ari-1",
        product_codes=(ProductCode("774F4FF8"),),
        metadata=MetadataOptions("optional", "enabled", 1, "enabled"),
    ),
    interfaces=(replace(ETH0, public_ip="203.0.113.5"),),
    ancestor_ami_ids=("ami-1",),
    profile=imds.Credentials(lambda: "{}", "worker", lambda: "{}"),
    identity=imds.Credentials(lambda: "{}", "ec2-instance", lambda: "{}"),
)
POOR = replace(FACTS, instance=replace(INSTANCE, key_name=None, public_key=None), volumes=(), local_disks={}, tags={})


def is_served(facts: imds.Facts, version: str, category: str) -> bool:
    return imds.answer(facts, f"/{version}/meta-data/{category}", sign=lambda *_: "") is not None


@pytest.mark.parametrize("category", TABLE)
def test_a_category_is_served_under_versions_at_or_after_its_own(category: str) -> None:
    since = VERSIONS.index(TABLE[category])
    wanted = [number >= since and category not in ABSENT for number in range(len(VERSIONS))]
    assert [is_served(RICH, version, category) for version in VERSIONS] == wanted


@pytest.mark.parametrize("category", TABLE)
def test_a_category_is_absent_where_the_instance_has_nothing_to_tell(category: str) -> None:
    assert is_served(POOR, "latest", category) is (category not in ABSENT and category not in IF_THERE)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_listing_names_what_is_served_and_nothing_else(version: str) -> None:
    for category, since in TABLE.items():
        folder, _, name = category.rstrip("/").rpartition("/")
        if folder == "public-keys":
            continue  # it lists its children in a form of its own
        found = imds.answer(RICH, f"/{version}/meta-data/{folder}", sign=lambda *_: "")
        listed = [] if found is None else found.body.decode().replace("/", "").split("\n")
        assert (name in listed) == is_served(RICH, version, category), (category, since)


def test_every_version_of_the_reference_is_listed() -> None:
    found = imds.answer(RICH, "/", sign=lambda *_: "")
    assert found is not None
    listed = found.body.decode().split("\n")
    assert set(VERSIONS) <= set(listed) and listed == sorted(listed) and listed[0] == "1.0" and listed[-1] == "latest"


@pytest.mark.parametrize(
    ("path", "since"),
    [
        ("fws/instance-monitoring", "2009-04-04"),
        ("instance-identity/document", "2009-04-04"),
        ("instance-identity/signature", "2009-04-04"),
        ("instance-identity/pkcs7", "2009-04-04"),
        ("instance-identity/rsa2048", "2009-04-04"),
        ("instance-identity/dsa2048", "2009-04-04"),
    ],
)
def test_the_dynamic_tree_is_served_since_there_is_one(path: str, since: str) -> None:
    for number, version in enumerate(VERSIONS):
        found = imds.answer(RICH, f"/{version}/dynamic/{path}", sign=lambda kind, _: kind)
        assert (found is not None) == (number >= VERSIONS.index(since)), version
