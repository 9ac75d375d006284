"""``amiable serve``: settings, then ``python -m amiable.server`` in this process's place."""

import dataclasses
import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from amiable.model.errors import LocalRefusal
from amiable.model.settings import SETTINGS, Settings, resolve

_HELP = {setting.name: setting.help for setting in SETTINGS}


def default_data(environment: dict[str, str], uid: int) -> str:
    """Where data lies unless told: ``/var/lib/amiable`` for root, else below the user's XDG data home."""
    if uid == 0:
        return "/var/lib/amiable"
    home = environment.get("XDG_DATA_HOME") or str(Path(environment.get("HOME", "/")) / ".local" / "share")
    return str(Path(home) / "amiable")


def read_toml(path: str | None, environment: dict[str, str]) -> dict[str, Any]:
    """The configuration file: ``path``, else AMIABLE_CONFIG, else none."""
    path = path or environment.get("AMIABLE_CONFIG")
    if not path:
        return {}
    try:
        return tomllib.loads(Path(path).read_text())
    except FileNotFoundError:
        raise LocalRefusal(f"no configuration file at {path}", exit_code=2) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LocalRefusal(f"{path} is not TOML: {error}", exit_code=2) from None


def settings_from(flags: dict[str, str | None], config: str | None = None) -> Settings:
    """This process's settings from flags, environment and file."""
    environment = dict(os.environ)
    given = {name: value for name, value in flags.items() if value is not None}
    toml = read_toml(config, environment)
    return resolve(given, environment, toml, default_data=default_data(environment, os.getuid()))


def serve(
    *,
    config: Annotated[str | None, Parameter(help="TOML file of settings (or AMIABLE_CONFIG).")] = None,
    data: Annotated[str | None, Parameter(help=_HELP["data"])] = None,
    listen: Annotated[str | None, Parameter(help=_HELP["listen"])] = None,
    database_url: Annotated[str | None, Parameter(help=_HELP["database_url"])] = None,
    region: Annotated[str | None, Parameter(help=_HELP["region"])] = None,
    regions: Annotated[str | None, Parameter(help=_HELP["regions"])] = None,
    zones: Annotated[str | None, Parameter(help=_HELP["zones"])] = None,
    signature_v2: Annotated[str | None, Parameter(help=_HELP["signature_v2"])] = None,
    accelerator: Annotated[str | None, Parameter(help=_HELP["accelerator"])] = None,
    network: Annotated[str | None, Parameter(help=_HELP["network"])] = None,
    elastic_range: Annotated[str | None, Parameter(help=_HELP["elastic_range"])] = None,
    host_routes: Annotated[str | None, Parameter(help=_HELP["host_routes"])] = None,
    compression: Annotated[str | None, Parameter(help=_HELP["compression"])] = None,
    workers: Annotated[str | None, Parameter(help=_HELP["workers"])] = None,
    host_restart: Annotated[str | None, Parameter(help=_HELP["host_restart"])] = None,
    instances_max: Annotated[str | None, Parameter(help=_HELP["instances_max"])] = None,
    images_max: Annotated[str | None, Parameter(help=_HELP["images_max"])] = None,
    snapshots_max: Annotated[str | None, Parameter(help=_HELP["snapshots_max"])] = None,
    images_public_max: Annotated[str | None, Parameter(help=_HELP["images_public_max"])] = None,
    image_grantees_max: Annotated[str | None, Parameter(help=_HELP["image_grantees_max"])] = None,
    guest_uid_first: Annotated[str | None, Parameter(help=_HELP["guest_uid_first"])] = None,
    guest_uid_count: Annotated[str | None, Parameter(help=_HELP["guest_uid_count"])] = None,
    qemu: Annotated[str | None, Parameter(help=_HELP["qemu"])] = None,
    appliance: Annotated[str | None, Parameter(help=_HELP["appliance"])] = None,
) -> None:
    """Starts the server: one process, one port, local files.  Ctrl-C ends it; instances go on running."""
    given = locals()  # not within the comprehension, which has a scope of its own
    flags = {setting.name: given[setting.name] for setting in SETTINGS}
    settings = settings_from(flags, config)
    environment = {**os.environ, "AMIABLE_SERVER_SETTINGS": json.dumps(dataclasses.asdict(settings))}
    os.execve(sys.executable, [sys.executable, "-m", "amiable.server"], environment)
