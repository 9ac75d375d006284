"""``amiable env``: the lines that make a shell's stock AWS tools speak to the server."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from amiable.cli.output import say
from amiable.cli.serve import settings_from
from amiable.model.errors import LocalRefusal

AWS_VERSION_SECONDS_MAX = 20


def env(
    *,
    data: Annotated[
        str | None, Parameter(help="The server's data directory. Default: AMIABLE_DATA, else as of serve.")
    ] = None,
    account: Annotated[str | None, Parameter(help="Account to speak for. Default: the administrator's.")] = None,
) -> None:
    """Prints shell lines: endpoint, access key, region, signing certificate, data directory.  Use: eval "$(amiable env)"."""
    folder = Path(settings_from({"data": data}).data).absolute()  # the shell may go elsewhere
    server = read_server(folder)
    found = read_credentials(folder, account)
    home = folder / "accounts" / found["AccountId"]
    values = {
        "AWS_ENDPOINT_URL": server["endpoint"],
        "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
        "AWS_REGION": server["region"],
        "AWS_DEFAULT_REGION": server["region"],
        "EC2_CERT": str(home / "signing.pem"),
        "EC2_PRIVATE_KEY": str(home / "signing.key"),
        "EC2_USER_ID": found["AccountId"],
        "AMIABLE_DATA": str(folder),
    }
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    print("unset AWS_PROFILE AWS_SESSION_TOKEN")
    warning = old_aws_cli()
    if warning:
        say(f"warning: {warning}")


def read_server(folder: Path) -> dict[str, Any]:
    """What the running server wrote about itself."""
    try:
        found: dict[str, Any] = json.loads((folder / "server.json").read_text())
        os.kill(found["pid"], 0)
        return found
    except PermissionError as error:
        if error.filename is None:  # the process is another user's: it lives
            return found
        raise LocalRefusal(
            f"{folder} belongs to another user", hint="run as the user who started the server", exit_code=74
        ) from None
    except (FileNotFoundError, ProcessLookupError):
        raise LocalRefusal(
            f"no server is running on {folder}",
            hint=f"start one: amiable serve --data {shlex.quote(str(folder))}",
            exit_code=69,
        ) from None


def read_credentials(folder: Path, account: str | None) -> dict[str, Any]:
    """The access key of ``account``, else of the first administrator."""
    accounts = folder / "accounts"
    if account == "":  # a variable of the shell that is not set names nobody, and no administrator
        raise LocalRefusal("--account names nobody", hint="amiable account list", exit_code=2)
    for name in [account] if account else sorted(path.name for path in accounts.iterdir()):
        path = accounts / name / "credentials.json"
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text())
            if account or found.get("Administrator"):
                return found
    raise LocalRefusal(f"no credentials of {account or 'an administrator'} in {accounts}", hint="amiable account list")


def old_aws_cli() -> str:
    """Why the first ``aws`` on the PATH would call the real cloud; ``''`` when it would not, or there is none."""
    path = shutil.which("aws")
    if path is None:
        return ""
    try:
        words = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=AWS_VERSION_SECONDS_MAX, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    version = words.removeprefix("aws-cli/").split(" ")[0].split(".")
    if len(version) < 2 or not (version[0].isdigit() and version[1].isdigit()):
        return ""
    number = (int(version[0]), int(version[1]))
    knows = number >= (2, 13) or (number[0] == 1 and number >= (1, 29))
    return (
        ""
        if knows
        else f"{path} ({words.split(' ')[0]}) does not know AWS_ENDPOINT_URL and would call the real cloud: pip install awscli"
    )
