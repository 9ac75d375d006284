"""The metadata service's tree: an instance's facts → a path → text.

Directories are dicts, leaves are text or bytes; what has no value is absent, and absent is 404.  A listing is one child a line, a
directory's with a slash, except ``public-keys``: ``0=name``.  A category is served only under versions at or after its own.
Source: EC2 user guide, "Instance metadata categories"; what cloud-init asks for: 2009-04-04, 2016-09-02, 2018-09-24, 2021-03-23.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Union

from amiable.model.instance import Instance
from amiable.model.product import ProductCodeType

Tree = Union[str, bytes, "Lazy", dict[str, "Tree"]]
Lazy = Callable[[], str]

VERSIONS: Final = (
    "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04",
    "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19", "2016-06-30", "2016-09-02",
    "2016-11-15", "2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03", "2021-03-23", "2021-07-15",
    "2022-07-09", "2022-09-24", "latest",
)  # fmt: skip

SINCE: Final[Mapping[str, str]] = {
    "meta-data/ancestor-ami-ids": "2007-10-10",
    "meta-data/block-device-mapping": "2007-12-15",
    "meta-data/events": "2018-08-17",
    "meta-data/instance-action": "2008-09-01",
    "meta-data/instance-life-cycle": "2019-10-01",
    "meta-data/instance-type": "2007-08-29",
    "meta-data/kernel-id": "2008-02-01",
    "meta-data/local-hostname": "2007-01-19",
    "meta-data/mac": "2011-01-01",
    "meta-data/network": "2011-01-01",
    "meta-data/placement": "2008-02-01",
    "meta-data/placement/availability-zone-id": "2019-10-01",
    "meta-data/placement/region": "2020-10-27",
    "meta-data/product-codes": "2007-03-01",
    "meta-data/ramdisk-id": "2007-10-10",
    "meta-data/services": "2014-02-25",
    "meta-data/services/partition": "2015-10-20",
    "meta-data/tags": "2021-03-23",
    "dynamic": "2009-04-04",
}
"""Categories younger than the first version."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the tree is made of."""

    instance: Instance
    image_location: str
    volumes: tuple[tuple[str, str], ...]  # device name, volume id; the root is among them
    group_names: tuple[str, ...]
    subnet_cidr: str
    vpc_cidr: str
    tags: Mapping[str, str]
    ancestor_ami_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """An answer's body."""

    body: bytes
    is_binary: bool = False


def answer(facts: Facts, path: str, *, sign: Callable[[str, str], str]) -> Found | None:
    """What GET ``path`` gives; None: 404.  ``sign(kind, document)`` signs the identity document (``signature`` or ``rsa2048``)."""
    parts = [part for part in path.split("/") if part]
    if not parts:
        return Found("\n".join(VERSIONS).encode())
    version, rest = parts[0], parts[1:]
    if version not in VERSIONS:
        return None
    node: Tree = _tree(facts, sign)
    taken: list[str] = []
    for part in rest:
        taken.append(part)
        if not isinstance(node, dict) or part not in node or not _is_served(version, "/".join(taken)):
            return None
        node = node[part]
    if isinstance(node, dict):
        return Found(_listing(node, version, "/".join(taken), facts).encode())
    if isinstance(node, bytes):
        return Found(node, is_binary=True)
    return Found((node if isinstance(node, str) else node()).encode())


def _is_served(version: str, category: str) -> bool:
    since = SINCE.get(category)
    return since is None or version == "latest" or VERSIONS.index(version) >= VERSIONS.index(since)


def _listing(node: dict[str, Tree], version: str, category: str, facts: Facts) -> str:
    if category == "meta-data/public-keys":
        return f"0={facts.instance.key_name}"
    names = [name for name in node if _is_served(version, f"{category}/{name}".lstrip("/"))]
    return "\n".join(sorted(name + "/" if isinstance(node[name], dict) else name for name in names))


def _tree(facts: Facts, sign: Callable[[str, str], str]) -> dict[str, Tree]:
    tree: dict[str, Tree] = {"dynamic": _dynamic(facts.instance, sign), "meta-data": _meta_data(facts)}
    if facts.instance.user_data is not None:
        tree["user-data"] = facts.instance.user_data
    return tree


def _meta_data(facts: Facts) -> dict[str, Tree]:
    instance = facts.instance
    name = hostname(instance)
    tree: dict[str, Tree] = {
        "ami-id": instance.image_id,
        "ami-launch-index": str(instance.launch_index),
        "ami-manifest-path": "(unknown)" if instance.is_ebs else facts.image_location,
        "block-device-mapping": _devices(facts),
        "events": {"maintenance": {"history": "[]", "scheduled": "[]"}},
        "hostname": name,
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-life-cycle": "on-demand",
        "instance-type": instance.instance_type,
        "local-hostname": name,
        "local-ipv4": instance.private_ip,
        "mac": instance.mac,
        "network": {"interfaces": {"macs": {instance.mac: _interface(facts)}}},
        "placement": {"availability-zone": instance.zone, "region": instance.region},
        "profile": "default-paravirtual" if instance.virtualization_type == "paravirtual" else "default-hvm",
        "reservation-id": instance.reservation_id,
        "security-groups": "\n".join(facts.group_names),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
    }
    if instance.kernel_id is not None:
        tree["kernel-id"] = instance.kernel_id
    if instance.ramdisk_id is not None:
        tree["ramdisk-id"] = instance.ramdisk_id
    if facts.ancestor_ami_ids:
        tree["ancestor-ami-ids"] = "\n".join(facts.ancestor_ami_ids)
    if instance.product_codes:
        tree["product-codes"] = "\n".join(each.code for each in instance.product_codes)
    if instance.public_key is not None:
        tree["public-keys"] = {"0": {"openssh-key": instance.public_key.strip() + "\n"}}
    if instance.metadata.instance_metadata_tags == "enabled" and facts.tags:
        tree["tags"] = {"instance": dict(facts.tags)}
    return tree


def _devices(facts: Facts) -> dict[str, Tree]:
    root = facts.instance.root_device_name or "/dev/sda1"
    tree: dict[str, Tree] = {"ami": root.removeprefix("/dev/"), "root": root}
    others = [device for device, _ in facts.volumes if device != root]
    for number, device in enumerate(others, start=1):
        tree[f"ebs{number}"] = device.removeprefix("/dev/")
    return tree


def _interface(facts: Facts) -> dict[str, Tree]:
    instance = facts.instance
    return {
        "device-number": "0",
        "interface-id": instance.interface_id,
        "local-hostname": hostname(instance),
        "local-ipv4s": instance.private_ip,
        "mac": instance.mac,
        "owner-id": instance.account_id,
        "security-group-ids": "\n".join(instance.security_group_ids),
        "security-groups": "\n".join(facts.group_names),
        "subnet-id": instance.subnet_id,
        "subnet-ipv4-cidr-block": facts.subnet_cidr,
        "vpc-id": instance.vpc_id,
        "vpc-ipv4-cidr-block": facts.vpc_cidr,
        "vpc-ipv4-cidr-blocks": facts.vpc_cidr,
    }


def _dynamic(instance: Instance, sign: Callable[[str, str], str]) -> dict[str, Tree]:
    document = identity_document(instance)
    return {
        "fws": {"instance-monitoring": "disabled"},
        "instance-identity": {
            "document": document,
            "signature": lambda: sign("signature", document),
            "rsa2048": lambda: sign("rsa2048", document),
        },
    }


def identity_document(instance: Instance) -> str:
    """The identity document: its octets stay the same through one boot, because signatures cover them."""
    members = {
        "accountId": instance.account_id,
        "architecture": instance.architecture,
        "availabilityZone": instance.zone,
        "billingProducts": None,
        "devpayProductCodes": _codes(instance, ProductCodeType.DEVPAY),
        "marketplaceProductCodes": _codes(instance, ProductCodeType.MARKETPLACE),
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "kernelId": instance.kernel_id,
        "pendingTime": f"{instance.launched_at:%Y-%m-%dT%H:%M:%SZ}",
        "privateIp": instance.private_ip,
        "ramdiskId": instance.ramdisk_id,
        "region": instance.region,
        "version": "2017-09-30",
    }
    return json.dumps(members, indent=2, separators=(",", " : "))


def _codes(instance: Instance, type_: ProductCodeType) -> list[str] | None:
    return [each.code for each in instance.product_codes if each.type is type_] or None


def hostname(instance: Instance) -> str:
    """EC2's name for the address: ``ip-172-31-0-4.ec2.internal``; elsewhere than in us-east-1 under the region's domain."""
    domain = "ec2.internal" if instance.region == "us-east-1" else f"{instance.region}.compute.internal"
    return f"ip-{instance.private_ip.replace('.', '-')}.{domain}"
