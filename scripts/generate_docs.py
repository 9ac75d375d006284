"""Writes the reference pages that code already knows: commands, settings, error codes, API coverage.

python scripts/generate_docs.py            writes docs/reference/*.md
python scripts/generate_docs.py --check    fails where a page is not what it would write (part of ``make lint``)
"""

import importlib
import inspect
import io
import pkgutil
import sys
from pathlib import Path

import cyclopts
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a program, its own folder is what Python looks into
from amiable import model
from amiable.cli.main import app
from amiable.model import errors, id_words
from amiable.model.settings import SETTINGS
from scripts import api_coverage, boot_matrix

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- made by `make docs`; do not edit -->\n"

OWN_API = {
    "GET, POST /amiable/v1/accounts": "list and create accounts (administrator)",
    "GET, POST /amiable/v1/access-keys, DELETE /amiable/v1/access-keys/{id}, PUT /amiable/v1/access-keys/{id}/state": "the caller's access keys",
    "PUT /amiable/v1/accounts/{id}/partner": "trusts an account to register kernels (administrator)",
    "PUT /amiable/v1/accounts/{id}/alias": "the owner alias of an account's images (administrator)",
    "POST /amiable/v1/house-session": "an hour's credentials of the account that owns the house images (administrator)",
    "GET, PUT /amiable/v1/name-guard, GET /amiable/v1/name-guard-findings": "the caller's policy against look-alike images, and what it met",
    "GET, POST /amiable/v1/organizations, GET, DELETE /amiable/v1/organizations/{id}": "organizations (POST, DELETE: administrator)",
    "POST, DELETE /amiable/v1/organizations/{id}/units, PUT, DELETE …/members": "their units and members (management account)",
    "GET, POST /amiable/v1/kernels": "kernels and ramdisks (POST: administrator and partners)",
    "PUT /amiable/v1/kernels/{id}/approval": "the list of approved kernels and ramdisks (administrator)",
    "GET /amiable/v1/why/{id}": "what keeps an image or a snapshot, the command that frees each, and the bytes that would come free",
    "GET /amiable/v1/events?after&since&size&wait": "the log: an account its own lines, the administrator all; `wait` seconds for the next",
    "GET, POST /amiable/v1/channels, GET, DELETE /amiable/v1/channels/{name}": "channels: the caller's own and public ones; a name's slashes are `%2F`",
    "GET /amiable/v1/channels/{name}/history, POST …/promote, POST …/rollback, PUT …/visibility": "where a channel pointed; moving it; who reads it",
    "GET /amiable/v1/images/{id}": "an image's content digest and the images that equal it",
    "GET /amiable/v1/content-digests/{digest}": "the images of one content that the caller may launch",
    "GET /amiable/v1/instances/{id}/hardware": "the instance's hardware profile and why it was chosen",
    "GET /amiable/v1/instance-identity": "the certificates that instances' identity documents are verified by, and the CA that issued them",
    "GET /amiable/v1/bundling-certificate": "the certificate that bundle keys are wrapped for",
    "GET /amiable/cert-ec2.pem": "the same certificate, unsigned, for `curl` and `--ec2cert`",
    "GET, POST /amiable/v1/products, GET /amiable/v1/products/{code}": "products and what they cost",
    "PUT /amiable/v1/products/{code}/price": "a new price from now on (the seller)",
    "POST /amiable/v1/products/{code}/resources": "puts the code onto an image or a snapshot (the seller)",
    "PUT, DELETE /amiable/v1/products/{code}/subscription": "the caller's subscription",
    "GET /amiable/v1/products/{code}/subscriptions": "a product's subscriptions (the seller)",
    "GET /amiable/v1/subscriptions": "the caller's subscriptions",
    "GET /amiable/v1/lapses": "instances that run without a subscription: the caller's, and those of its products",
    "GET /amiable/v1/statements/{month}, GET /amiable/v1/statements/{month}/seller": "what a month cost, or brought in",
    "GET /amiable/v1/recycle-bin, GET /amiable/v1/retention-rules": "what the caller has in the Recycle Bin, and its rules",
    "GET /amiable/v1/retention-plan": "the rule that would keep each image, and warnings where its snapshots would go first",
    "GET /amiable/v1/host": "what `doctor` shows",
    "GET /amiable/v1/instances/{id}/ssh-host-keys": "fingerprints that the guest printed on its console",
    "GET /amiable/v1/instances/{id}/boots": "when each boot of the guest reached which stage, and what stopped it",
    "GET /amiable/v1/instances/{id}/console-log?boot": "all that is kept of what one of its machines wrote to its console",
    "WebSocket /amiable/v1/instances/{id}/console": "the serial console, live, both ways (presigned; the account's switch must be on)",
    "WebSocket /amiable/v1/instances/{id}/tunnel?port=N": "bytes to and from a port of the guest (presigned)",
}


def commands_page() -> str:
    """Every command with its help, from the application itself."""
    lines = [
        NOTE,
        "# Commands\n",
        "Data goes to stdout, talk to stderr. `--output table|json|id` where there is something to print.\n",
    ]
    for words in walk(app, ()):
        lines.append(f"## `{' '.join(words)}`\n")
        lines.append("```")
        lines.append(help_text(words[1:]).strip())
        lines.append("```\n")
    return "\n".join(lines)


def walk(parent: cyclopts.App, words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Every command below ``parent`` that is shown and does something, in order."""
    found = []
    for name in sorted(parent):
        if name.startswith("-") or not parent[name].show:
            continue
        child = parent[name]
        words_of_child = (*(words or ("amiable",)), name)
        if any(not inner.startswith("-") for inner in child):
            found += walk(child, words_of_child)
        else:
            found.append(words_of_child)
    return found


def help_text(words: tuple[str, ...]) -> str:
    """``--help`` of the command that ``words`` name, without colours, 100 columns wide."""
    console = Console(width=100, color_system=None, record=True, file=io.StringIO())
    app.help_print(list(words), console=console)
    text = console.export_text()
    return "\n".join(line.rstrip() for line in text.splitlines())


def settings_page() -> str:
    """Every setting with its three spellings."""
    lines = [
        NOTE,
        "# Settings of `amiable serve`\n",
        "Flag, then variable, then TOML file (`--config`), then default.\n",
    ]
    lines += ["| flag | variable | TOML key | default | what |", "|---|---|---|---|---|"]
    for setting in SETTINGS:
        default = " ".join(setting.default) if isinstance(setting.default, tuple) else setting.default
        lines.append(f"| `{setting.flag}` | `{setting.variable}` | `{setting.toml_key}` | {default} | {setting.help} |")
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """Every error code that has a class of its own, its status and its words."""
    lines = [
        NOTE,
        "# Error codes\n",
        "The code is AWS's; the text names the cause.\n",
        "| code | status | text |",
        "|---|---|---|",
    ]
    rows: dict[str, tuple[int, str]] = {}
    for kind in refusals():
        if isinstance(kind.__dict__.get("code"), str) and kind.code != "Local":
            rows[kind.code] = (kind.status, kind.template.replace("|", "\\|"))
    for table in (id_words.NOT_FOUND, id_words.MALFORMED):
        for noun, code in table.items():
            rows.setdefault(code, (400, f"{noun.replace('_', ' ')}: the id names nothing, or has the wrong form"))
    lines += [f"| `{code}` | {status} | {text} |" for code, (status, text) in sorted(rows.items())]
    return "\n".join(lines) + "\n"


def refusals() -> list[type[errors.Refusal]]:
    """Every class of refusal of ``model/``, by name."""
    found: dict[str, type[errors.Refusal]] = {}
    for module in pkgutil.iter_modules(model.__path__):
        members = inspect.getmembers(importlib.import_module(f"{model.__name__}.{module.name}"), inspect.isclass)
        found |= {name: kind for name, kind in members if issubclass(kind, errors.Refusal)}
    return [kind for _, kind in sorted(found.items())]


def coverage_page() -> str:
    """What is real, record-only and absent, and Amiable's own API."""
    lines = [
        "## Amiable's own API\n",
        "Signed with SigV4, service name `amiable`, JSON.\n",
        "| path | what |",
        "|---|---|",
        *(f"| `{path}` | {words} |" for path, words in OWN_API.items()),
    ]
    return NOTE + "\n" + api_coverage.page() + "\n" + "\n".join(lines) + "\n"


def boot_matrix_page() -> str:
    """What booted, as the tests noted it."""
    return boot_matrix.page(boot_matrix.read_boots())


PAGES = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "errors.md": errors_page,
    "api-coverage.md": coverage_page,
    "boot-matrix.md": boot_matrix_page,
}


def main(arguments: list[str]) -> int:
    """Writes, or checks, every page; the exit code."""
    stale = []
    for name, page in PAGES.items():
        path, text = FOLDER / name, page()
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.write_text(text)
    if "--check" in arguments and stale:
        print(f"error: not what the code says: {', '.join(stale)}\n\nhint: make docs", file=sys.stderr)
        return 1
    print("reference pages: " + ("as the code says" if not stale else "wrote " + ", ".join(stale)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
