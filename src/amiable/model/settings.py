"""One declarative record per setting: flag, TOML key, environment variable and help all derive from it.

Precedence: flag, then variable, then TOML file, then default.  Pure: ``resolve`` is given what each source said.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from ipaddress import IPv4Network
from typing import Any, Final

from amiable.model.errors import LocalRefusal

DEFAULT_LISTEN: Final = "127.0.0.1:2006"


def _text(value: str) -> str:
    return value


def _listen(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("expected HOST:PORT, like 127.0.0.1:2006")
    return value


def _network(value: str) -> str:
    try:
        return str(IPv4Network(value))
    except ValueError:
        raise ValueError("expected an IPv4 network such as 203.0.113.0/24") from None


def _networks(value: str) -> str:
    """Networks, separated by commas; none in an empty text."""
    try:
        return ",".join(str(IPv4Network(each)) for each in _words(value))
    except ValueError:
        raise ValueError("expected IPv4 networks such as 172.31.0.0/16, space- or comma-separated") from None


def _choice(*words: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return value

    return read


def _positive(value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise ValueError("expected a whole number above 0")
    return int(value)


def _words(value: str) -> tuple[str, ...]:
    return tuple(value.replace(",", " ").split())


@dataclass(frozen=True, slots=True)
class Setting:
    """How one setting is spelled and read."""

    name: str
    read: Callable[[str], Any]
    default: Any
    help: str

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "AMIABLE_" + self.name.upper()

    @property
    def toml_key(self) -> str:
        return self.name


SETTINGS: Final = (
    Setting("data", _text, "", "Data directory. Default: /var/lib/amiable for root, else $XDG_DATA_HOME/amiable."),
    Setting("listen", _listen, DEFAULT_LISTEN, "Address and port to listen on; port 0 takes a free one."),
    Setting("database_url", _text, "", "SQLAlchemy URL of the facts. Default: SQLite in the data directory."),
    Setting("region", _text, "us-east-1", "The installation's first region: where clients without one are."),
    Setting(
        "regions", _words, (), "Further regions, space- or comma-separated; what is in one is not seen in another."
    ),
    Setting(
        "zones",
        _words,
        (),
        "Availability zones, space- or comma-separated; each is in the region whose name it begins with, others in the first. "
        "Default: each region's name with an a.",
    ),
    Setting(
        "signature_v2",
        _choice("on", "off"),
        "on",
        "Whether requests signed by version 2 (HMAC-SHA1, HMAC-SHA256) are taken, which the classic tools send.",
    ),
    Setting("accelerator", _choice("auto", "kvm", "tcg"), "auto", "auto proves KVM and falls back to TCG."),
    Setting(
        "network",
        _choice("auto", "routed", "namespace", "guestfwd"),
        "auto",
        "How guests are connected: routed lets those of a VPC see each other, as their security groups allow; namespace keeps each "
        "apart; guestfwd too, without SSH. auto tries them in this order.",
    ),
    Setting(
        "elastic_range",
        _network,
        "203.0.113.0/24",
        "IPv4 network out of which elastic addresses are given; they are records, unless something of yours routes them.",
    ),
    Setting(
        "host_routes",
        _networks,
        "172.31.0.0/16",
        "Started by root: the networks within which the host gets routes to guests' subnets. Accounts choose the addresses of their "
        "VPCs: name none through which the host reaches anything else.",
    ),
    Setting("compression", _choice("zstd-1", "none"), "zstd-1", "How blocks are stored."),
    Setting("workers", _positive, 4, "Jobs that run at once."),
    Setting(
        "host_restart",
        _choice("start", "stop"),
        "start",
        "What becomes of the instances that ran when the host was restarted: start brings them back, stop leaves them stopped.",
    ),
    Setting("instances_max", _positive, 32, "Instances that may run at once on this host."),
    Setting("images_max", _positive, 50_000, "Images that an account may have in a region, binned ones counted."),
    Setting(
        "snapshots_max", _positive, 100_000, "Snapshots that an account may have in a region, binned ones counted."
    ),
    Setting("images_public_max", _positive, 1_000, "Public images that an account may have in a region."),
    Setting(
        "image_grantees_max",
        _positive,
        1_000,
        "Accounts, organizations and units that an image may be shared with.",
    ),
    Setting(
        "guest_uid_first", _positive, 200_000, "Started by root: first uid of the range that guests' QEMU runs as."
    ),
    Setting("guest_uid_count", _positive, 10_000, "How many uids that range has."),
    Setting("qemu", _text, "qemu-system-x86_64", "QEMU's program, a name on the PATH or a path."),
    Setting("appliance", _text, "", "Directory of the Xen appliance. Default: appliance in the data directory."),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The resolved settings of one server."""

    data: str
    listen: str
    database_url: str
    region: str
    regions: tuple[str, ...]  # all of them, the first one first
    zones: tuple[str, ...]
    signature_v2: str
    accelerator: str
    network: str
    elastic_range: str
    host_routes: str  # networks, separated by commas
    compression: str
    workers: int
    host_restart: str
    instances_max: int
    images_max: int
    snapshots_max: int
    images_public_max: int
    image_grantees_max: int
    guest_uid_first: int
    guest_uid_count: int
    qemu: str
    appliance: str

    def zones_in(self, region: str) -> tuple[str, ...]:
        """The zones of one of ``regions``."""
        return tuple(zone for zone in self.zones if region_of_zone(zone, self.regions) == region)


def region_of_zone(zone: str, regions: Sequence[str]) -> str:
    """The region whose name ``zone`` begins with, the longest; the first region where there is none."""
    return max((region for region in regions if zone.startswith(region)), key=len, default=regions[0])


def _all_zones(named: Sequence[str], regions: Sequence[str]) -> tuple[str, ...]:
    """The zones named, and one for each region without."""
    placed = {region_of_zone(zone, regions) for zone in named}
    return (*named, *(region + "a" for region in regions if region not in placed))


assert tuple(f.name for f in fields(Settings)) == tuple(s.name for s in SETTINGS)


def resolve(
    flags: Mapping[str, str], variables: Mapping[str, str], toml: Mapping[str, Any], *, default_data: str
) -> Settings:
    """Settings from what each source said, all as text or TOML values; an unknown TOML key or a bad value is refused by name."""
    known = {setting.toml_key for setting in SETTINGS}
    for key in toml:
        if key not in known:
            raise LocalRefusal(
                f"unknown setting in the configuration file: {key}",
                hint="known: " + ", ".join(sorted(known)),
                exit_code=2,
            )
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        values[setting.name] = _value(setting, flags, variables, toml)
    values["data"] = values["data"] or default_data
    values["regions"] = tuple(dict.fromkeys((values["region"], *values["regions"])))
    values["zones"] = _all_zones(values["zones"], values["regions"])
    values["database_url"] = values["database_url"] or f"sqlite:///{values['data']}/amiable.db"
    values["appliance"] = values["appliance"] or f"{values['data']}/appliance"
    return Settings(**values)


def _value(setting: Setting, flags: Mapping[str, str], variables: Mapping[str, str], toml: Mapping[str, Any]) -> Any:
    if setting.name in flags:
        source, value = setting.flag, flags[setting.name]
    elif variables.get(setting.variable):
        source, value = setting.variable, variables[setting.variable]
    elif setting.toml_key in toml:
        raw = toml[setting.toml_key]
        source = f"{setting.toml_key} in the configuration file"
        value = (
            " ".join(map(str, raw))
            if isinstance(raw, list)
            else str(raw).lower()
            if isinstance(raw, bool)
            else str(raw)
        )
    else:
        return setting.default
    try:
        return setting.read(value)
    except ValueError as error:
        raise LocalRefusal(f"{source} is {value!r}: {error}", exit_code=2) from None
