"""The metadata service's tree: an instance's facts → a path → text.

Directories are dicts, leaves are text or bytes; what has no value is absent, and absent is 404.  A listing is one child a line, a
directory's with a slash, except a version's own children, and ``public-keys``: ``0=name``.  A category is served only under versions
at or after its own.
Absent always, because what it would tell of is not there: auto scaling, placement groups and hosts, spot, elastic GPUs, IPv6,
recommendations, swap devices.

Source: EC2 user guide, "Instance metadata categories"; what cloud-init asks for: 2009-04-04, 2016-09-02, 2018-09-24, 2021-03-23.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Union
from urllib.parse import unquote

from amiable.model.hardware import Profile
from amiable.model.instance import Instance, State
from amiable.rules.identity_document import identity_document

Tree = Union[str, bytes, "Lazy", dict[str, "Tree"]]
Lazy = Callable[[], str]

SIGNATURES: Final = ("dsa2048", "pkcs7", "rsa2048", "signature")
XEN: Final = (Profile.XEN_PV, Profile.XEN_HVM)
ENDING: Final = (State.STOPPING, State.SHUTTING_DOWN)
LATEST: Final = "latest"
VERSIONS: Final = (
    "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04",
    "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19", "2016-06-30", "2016-09-02",
    "2016-11-15", "2016-11-30", "2018-03-28", "2018-05-23", "2018-08-17", "2018-09-24", "2018-11-29", "2019-10-01", "2020-08-24",
    "2020-10-27", "2020-11-01", "2021-01-03", "2021-03-23", "2021-07-15", "2022-07-09", "2022-09-24", LATEST,
)  # fmt: skip
"""In order: dates sort as they stand, and ``latest`` behind them all."""

INTERFACE: Final = "meta-data/network/interfaces/macs/*"
SINCE: Final[Mapping[str, str]] = {
    "dynamic": "2009-04-04",
    "meta-data/ancestor-ami-ids": "2007-10-10",
    "meta-data/block-device-mapping": "2007-12-15",
    "meta-data/events": "2018-08-17",
    "meta-data/iam": "2012-01-12",
    "meta-data/identity-credentials": "2018-05-23",
    "meta-data/instance-action": "2008-09-01",
    "meta-data/instance-life-cycle": "2019-10-01",
    "meta-data/instance-type": "2007-08-29",
    "meta-data/kernel-id": "2008-02-01",
    "meta-data/local-hostname": "2007-01-19",
    "meta-data/mac": "2011-01-01",
    "meta-data/network": "2011-01-01",
    f"{INTERFACE}/vpc-ipv4-cidr-blocks": "2016-06-30",
    "meta-data/placement": "2008-02-01",
    "meta-data/placement/availability-zone-id": "2019-10-01",
    "meta-data/placement/region": "2020-08-24",
    "meta-data/product-codes": "2007-03-01",
    "meta-data/public-hostname": "2007-01-19",
    "meta-data/public-ipv4": "2007-01-19",
    "meta-data/ramdisk-id": "2007-10-10",
    "meta-data/services": "2014-02-25",
    "meta-data/services/partition": "2015-10-20",
    "meta-data/tags": "2021-03-23",
}
"""Categories younger than the first version; ``*`` stands for any interface's address."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface of the instance."""

    id: str
    mac: str
    device_number: int
    private_ip: str
    subnet_id: str
    subnet_cidr: str
    vpc_id: str
    vpc_cidr: str
    group_ids: tuple[str, ...]
    group_names: tuple[str, ...]
    public_ip: str | None = None
    has_public_name: bool = True  # the VPC's enableDnsHostnames; it counts where there is a public address


@dataclass(frozen=True, slots=True)
class Credentials:
    """The role that an instance profile hands to the instance."""

    info: Lazy  # of the profile
    role_name: str | None
    credentials: Lazy


@dataclass(frozen=True, slots=True)
class Facts:
    """What the tree is made of; the first interface is eth0."""

    instance: Instance
    image_location: str
    volumes: tuple[str, ...]  # device names of EBS volumes but the root, in order
    local_disks: Mapping[str, str]  # device names of mapped local disks, by virtual name: ephemeral0
    interfaces: tuple[Interface, ...]
    zone_id: str
    tags: Mapping[str, str]
    ancestor_ami_ids: tuple[str, ...] = ()
    profile: Credentials | None = None
    identity: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An answer's body."""

    body: bytes
    is_binary: bool = False


def answer(facts: Facts, path: str, *, sign: Callable[[str, str], str]) -> Found | None:
    """What GET ``path`` gives; None: 404.  ``sign(kind, document)`` signs the identity document, each kind of ``SIGNATURES``."""
    parts = [unquote(part) for part in path.split("/") if part]
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
    """Whether ``category`` is at least as old as ``version``."""
    parts = category.split("/")
    if parts[: INTERFACE.count("/")] == INTERFACE.split("/")[:-1] and len(parts) > INTERFACE.count("/"):
        parts[INTERFACE.count("/")] = "*"
    return version >= SINCE.get("/".join(parts), "")


def _listing(node: dict[str, Tree], version: str, category: str, facts: Facts) -> str:
    if category == "meta-data/public-keys":
        return f"0={facts.instance.key_name}"
    names = [name for name in node if _is_served(version, f"{category}/{name}".lstrip("/"))]
    if not category:
        return "\n".join(sorted(names))
    return "\n".join(sorted(name + "/" if isinstance(node[name], dict) else name for name in names))


def _tree(facts: Facts, sign: Callable[[str, str], str]) -> dict[str, Tree]:
    tree: dict[str, Tree] = {"dynamic": _dynamic(facts.instance, sign), "meta-data": _meta_data(facts)}
    if facts.instance.user_data is not None:
        tree["user-data"] = facts.instance.user_data
    return tree


def _meta_data(facts: Facts) -> dict[str, Tree]:
    instance = facts.instance
    name = hostname(instance)
    interface = facts.interfaces[0]
    tree: dict[str, Tree] = {
        "ami-id": instance.image_id,
        "ami-launch-index": str(instance.launch_index),
        "ami-manifest-path": "(unknown)" if instance.is_ebs else facts.image_location,
        "block-device-mapping": _devices(facts),
        "events": {"maintenance": {"history": "[]", "scheduled": "[]"}},
        "hostname": name,
        "instance-action": "shutdown" if instance.state in ENDING else "none",
        "instance-id": instance.id,
        "instance-life-cycle": "on-demand",
        "instance-type": instance.instance_type,
        "local-hostname": name,
        "local-ipv4": instance.private_ip,
        "mac": interface.mac,
        "network": {"interfaces": {"macs": {each.mac: _interface(facts, each) for each in facts.interfaces}}},
        "placement": {
            "availability-zone": instance.zone,
            "availability-zone-id": facts.zone_id,
            "region": instance.region,
        },
        "profile": "default-paravirtual" if instance.virtualization_type == "paravirtual" else "default-hvm",
        "reservation-id": instance.reservation_id,
        "security-groups": "\n".join(interface.group_names),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
        "system": "xen" if instance.hardware_profile in XEN else "nitro",
    }
    return tree | _what_may_be_missing(facts)


def _what_may_be_missing(facts: Facts) -> dict[str, Tree]:
    instance = facts.instance
    tree: dict[str, Tree] = {}
    if instance.kernel_id is not None:
        tree["kernel-id"] = instance.kernel_id
    if instance.ramdisk_id is not None:
        tree["ramdisk-id"] = instance.ramdisk_id
    if facts.ancestor_ami_ids:
        tree["ancestor-ami-ids"] = "\n".join(facts.ancestor_ami_ids)
    if instance.product_codes:
        tree["product-codes"] = "\n".join(each.code for each in instance.product_codes)
    if instance.public_key is not None:
        tree["public-keys"] = {"0": {"openssh-key": _openssh_key(instance.public_key, instance.key_name)}}
    if instance.metadata.instance_metadata_tags == "enabled" and facts.tags:
        tree["tags"] = {"instance": dict(facts.tags)}
    first = facts.interfaces[0]
    if first.public_ip is not None:
        tree |= {"public-ipv4": first.public_ip, **_public_name(instance.region, first)}
    if facts.profile is not None:
        tree["iam"] = _iam(facts.profile)
    if facts.identity is not None:
        assert facts.identity.role_name is not None
        credentials: Tree = {facts.identity.role_name: facts.identity.credentials}
        tree["identity-credentials"] = {"ec2": {"info": facts.identity.info, "security-credentials": credentials}}
    return tree


def _openssh_key(public_key: str, key_name: str | None) -> str:
    """The public key's line, with the key pair's name as its comment."""
    return " ".join([*public_key.split()[:2], *([] if key_name is None else [key_name])]) + "\n"


def _iam(profile: Credentials) -> dict[str, Tree]:
    tree: dict[str, Tree] = {"info": profile.info}
    if profile.role_name is not None:
        tree["security-credentials"] = {profile.role_name: profile.credentials}
    return tree


def _devices(facts: Facts) -> dict[str, Tree]:
    """The devices: ``ami`` is what the image calls its root, ``root`` the whole path; EBS volumes are counted, local disks named."""
    root = facts.instance.root_device_name or "/dev/sda1"
    tree: dict[str, Tree] = {"ami": root.removeprefix("/dev/"), "root": root}
    tree |= {f"ebs{number}": device.removeprefix("/dev/") for number, device in enumerate(facts.volumes, start=1)}
    return tree | {name: device.removeprefix("/dev/") for name, device in facts.local_disks.items()}


def _interface(facts: Facts, it: Interface) -> dict[str, Tree]:
    region = facts.instance.region
    tree: dict[str, Tree] = {
        "device-number": str(it.device_number),
        "interface-id": it.id,
        "local-hostname": private_hostname(region, it.private_ip),
        "local-ipv4s": it.private_ip,
        "mac": it.mac,
        "owner-id": facts.instance.account_id,
        "security-group-ids": "\n".join(it.group_ids),
        "security-groups": "\n".join(it.group_names),
        "subnet-id": it.subnet_id,
        "subnet-ipv4-cidr-block": it.subnet_cidr,
        "vpc-id": it.vpc_id,
        "vpc-ipv4-cidr-block": it.vpc_cidr,
        "vpc-ipv4-cidr-blocks": it.vpc_cidr,
    }
    if it.public_ip is not None:
        tree |= {"public-ipv4s": it.public_ip, **_public_name(region, it)}
        tree["ipv4-associations"] = {it.public_ip: it.private_ip}
    return tree


def _public_name(region: str, it: Interface) -> dict[str, Tree]:
    if it.public_ip is None or not it.has_public_name:
        return {}
    return {"public-hostname": public_hostname(region, it.public_ip)}


def _dynamic(instance: Instance, sign: Callable[[str, str], str]) -> dict[str, Tree]:
    document = identity_document(instance)
    signed: dict[str, Tree] = {kind: _signed(sign, kind, document) for kind in SIGNATURES}
    monitoring = "enabled" if instance.detailed_monitoring else "disabled"
    return {"fws": {"instance-monitoring": monitoring}, "instance-identity": {"document": document, **signed}}


def _signed(sign: Callable[[str, str], str], kind: str, document: str) -> Lazy:
    return lambda: sign(kind, document)


def hostname(instance: Instance) -> str:
    """EC2's name for the instance's first address."""
    return private_hostname(instance.region, instance.private_ip)


def private_hostname(region: str, address: str) -> str:
    """EC2's name for the address: ``ip-172-31-0-4.ec2.internal``; elsewhere than in us-east-1 under the region's domain."""
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{address.replace('.', '-')}.{domain}"


def public_hostname(region: str, address: str) -> str:
    """EC2's name for a public address: ``ec2-203-0-113-5.compute-1.amazonaws.com``."""
    domain = "compute-1" if region == "us-east-1" else f"{region}.compute"
    return f"ec2-{address.replace('.', '-')}.{domain}.amazonaws.com"
