"""Which resources a request is about, as policies name them.

An id in a request becomes its ARN, by its prefix; what a call makes anew has the ARN ``…:volume/*``; a call that is about no resource
in particular (every Describe) is about ``*``.  Source: Service Authorization Reference, "Actions, resources, and condition keys".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from amiable.model import ids
from amiable.rules.policy import UNRESOLVED

KINDS: Final[Mapping[str, str]] = {
    ids.AMI: "image",
    ids.AKI: "image",
    ids.ARI: "image",
    ids.SNAPSHOT: "snapshot",
    ids.VOLUME: "volume",
    ids.INSTANCE: "instance",
    ids.KEY_PAIR: "key-pair",
    ids.IMPORT_SNAPSHOT_TASK: "import-snapshot-task",
    ids.VPC: "vpc",
    ids.SUBNET: "subnet",
    ids.SECURITY_GROUP: "security-group",
    ids.SECURITY_GROUP_RULE: "security-group-rule",
    ids.NETWORK_INTERFACE: "network-interface",
    ids.INTERNET_GATEWAY: "internet-gateway",
    ids.ROUTE_TABLE: "route-table",
    ids.NETWORK_ACL: "network-acl",
    ids.DHCP_OPTIONS: "dhcp-options",
    ids.ADDRESS_ALLOCATION: "elastic-ip",
    ids.LAUNCH_TEMPLATE: "launch-template",
    ids.REPLACE_ROOT_VOLUME_TASK: "replace-root-volume-task",
    ids.IMAGE_USAGE_REPORT: "image-usage-report",
}
PUBLIC_KINDS: Final = frozenset({"image", "snapshot"})
"""Their ARNs name no account: they are shared."""
MADE: Final[Mapping[str, tuple[str, ...]]] = {
    "RunInstances": ("instance", "network-interface", "volume"),
    "CreateImage": ("image", "snapshot"),
    "CopyImage": ("image", "snapshot"),
    "RegisterImage": ("image",),
    "CreateSnapshot": ("snapshot",),
    "CreateSnapshots": ("snapshot",),
    "CopySnapshot": ("snapshot",),
    "ImportSnapshot": ("import-snapshot-task",),
    "CreateVolume": ("volume",),
    "CreateKeyPair": ("key-pair",),
    "ImportKeyPair": ("key-pair",),
    "CreateSecurityGroup": ("security-group",),
    "CreateVpc": ("vpc",),
    "CreateSubnet": ("subnet",),
    "CreateInternetGateway": ("internet-gateway",),
    "CreateRouteTable": ("route-table",),
    "CreateNetworkInterface": ("network-interface",),
    "AllocateAddress": ("elastic-ip",),
    "CreateLaunchTemplate": ("launch-template",),
    "CreateReplaceRootVolumeTask": ("replace-root-volume-task",),
    "CreateImageUsageReport": ("image-usage-report",),
}

BY_NAME: Final = frozenset(
    {"group_name", "launch_template_name", "public_ip", "security_groups", "source_security_group_name"}
)
"""What names a resource otherwise than by its id."""
NAMES_MADE: Final = frozenset(
    {
        ("CreateSecurityGroup", "group_name"),
        ("CreateLaunchTemplate", "launch_template_name"),
        ("RunInstances", "launch_template_name"),
        ("RunInstances", "security_groups"),
    }
)
"""The names of what is made; and RunInstances asks again, about the template and the groups that it found."""
TAGS_COPIED: Final[Mapping[str, str]] = {"copy_image_tags": "image", "copy_tags_from_source": "snapshot"}
"""What asks for the tags of the source, and what is tagged with them."""
RESOURCES_MAX: Final = 1000
"""As many as a request may tag.  One that names more may do what is allowed on all."""

_ID: Final = re.compile(r"[a-z]+(-[a-z]+)*-[0-9a-f]{8,17}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Home:
    """Whose resources, and where."""

    account_id: str
    region: str

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of the account in the region."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"

    def ec2(self, kind: str, name: str) -> str:
        """EC2's ARN of ``kind/name``."""
        account_id = "" if kind in PUBLIC_KINDS else self.account_id
        return f"arn:aws:ec2:{self.region}:{account_id}:{kind}/{name}"


def ec2_resources(home: Home, action: str, request: msgspec.Struct) -> tuple[str, ...]:
    """The ARNs that an EC2 request is about, at least one; of the Describe calls those of one resource's attribute are about that.

    What a copy is made of lies in the region that the request says.
    """
    if action.startswith("Describe") and not action.endswith("Attribute"):
        return ("*",)
    arns = [home.ec2(kind, "*") for kind in MADE.get(action, ())]
    source = replace(home, region=getattr(request, "source_region", None) or home.region)
    for name, text in _texts(request):
        if name == "key_name":
            arns.append(home.ec2("key-pair", text))
        elif _holds_ids(name) and _ID.fullmatch(text):
            kind = KINDS.get(ids.prefix_of(text))
            where = source if name.startswith("source_") else home
            arns.append(UNRESOLVED if kind is None else where.ec2(kind, text))
        elif name in BY_NAME and (action, name) not in NAMES_MADE:
            arns.append(UNRESOLVED)
    found = tuple(dict.fromkeys(arns)) or ("*",)
    return found if len(found) <= RESOURCES_MAX else (UNRESOLVED,)


def tagged_at_birth(home: Home, request: msgspec.Struct) -> tuple[str, ...]:
    """The ARNs of what a request tags as it makes it: for that the caller needs ``ec2:CreateTags``, as for what is there.

    What is made with the tags of its source is tagged too.
    """
    kinds = [each.resource_type for each in getattr(request, "tag_specifications", None) or () if each.tags]
    kinds += [kind for name, kind in TAGS_COPIED.items() if getattr(request, name, None)]
    known = frozenset(KINDS.values())
    return tuple(dict.fromkeys(home.ec2(kind, "*") if kind in known else UNRESOLVED for kind in kinds))


def _holds_ids(name: str) -> bool:
    return name.endswith(("_id", "_ids")) or name in ("resources", "groups")


def ssm_resources(home: Home, request: msgspec.Struct) -> tuple[str, ...]:
    """The parameters that a request of Systems Manager names; a path stands for all below it."""
    found = [
        parameter_resource(home, text) for name, text in _texts(request) if name in ("name", "names", "resource_id")
    ]
    found += [parameter_resource(home, text.rstrip("/") + "/*") for name, text in _texts(request) if name == "path"]
    return tuple(found) or ("*",)


def parameter_resource(home: Home, text: str) -> str:
    """The parameter of this name: it may come as an ARN, with a version or a label behind a colon, and with spaces around it."""
    text = text.strip(" ")
    name = text.split(":parameter", 1)[1] if text.startswith("arn:") and ":parameter" in text else text
    return home.arn("ssm", f"parameter/{name.partition(':')[0].removeprefix('/')}")


def ebs_resources(home: Home, request: msgspec.Struct) -> tuple[str, ...]:
    """The snapshots that a request of EBS direct is about; StartSnapshot makes one."""
    found = [text for name, text in _texts(request) if name.endswith("snapshot_id")]
    return tuple(home.ec2("snapshot", each) for each in found) or (home.ec2("snapshot", "*"),)


def rbin_resources(home: Home, request: msgspec.Struct) -> tuple[str, ...]:
    """The retention rule that a request of the Recycle Bin names."""
    found = [home.arn("rbin", f"rule/{text}") for name, text in _texts(request) if name == "identifier"]
    found += [text for name, text in _texts(request) if name == "resource_arn"]
    return tuple(found) or ("*",)


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a request with the name of the member that holds it."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, name)
    elif isinstance(value, msgspec.Struct):
        for member in value.__struct_fields__:
            yield from _texts(getattr(value, member), member)
