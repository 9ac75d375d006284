"""Writes the reference pages that code already knows: commands, settings, error codes, API coverage.

python scripts/generate_docs.py            writes docs/reference/*.md
python scripts/generate_docs.py --check    fails where a page is not what it would write (part of ``make lint``)
"""

import inspect
import io
import sys
from pathlib import Path

import cyclopts
from rich.console import Console

from amiable.cli.main import app
from amiable.model import errors
from amiable.model.settings import SETTINGS
from amiable.wire import operations
from amiable.wire.generated import ec2

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- made by `make docs`; do not edit -->\n"

RECORD_ONLY = {
    "DescribeVpcs": "rows of the default network; no packet is routed by them",
    "DescribeSubnets": "addresses are really given out of the subnet; no route leads to it",
    "DescribeSecurityGroups": "the group is recorded; nothing is filtered in slirp mode, where nothing reaches a guest but tunnels",
}
OWN_API = {
    "GET, POST /amiable/v1/accounts": "list and create accounts (administrator)",
    "GET, POST /amiable/v1/access-keys, DELETE /amiable/v1/access-keys/{id}": "the caller's access keys",
    "PUT /amiable/v1/accounts/{id}/partner": "trusts an account to register kernels (administrator)",
    "GET, POST /amiable/v1/kernels": "kernels and ramdisks (POST: administrator and partners)",
    "PUT /amiable/v1/kernels/{id}/approval": "the list of approved kernels and ramdisks (administrator)",
    "GET /amiable/v1/instances/{id}/hardware": "the instance's hardware profile and why it was chosen",
    "GET /amiable/v1/bundling-certificate": "the certificate that bundle keys are wrapped for",
    "GET /amiable/cert-ec2.pem": "the same certificate, unsigned, for `curl` and `--ec2cert`",
    "GET /amiable/v1/host": "what `doctor` shows",
    "GET /amiable/v1/instances/{id}/ssh-host-keys": "fingerprints that the guest printed on its console",
    "WebSocket /amiable/v1/instances/{id}/tunnel?port=N": "bytes to and from a port of the guest (presigned)",
}
S3 = (
    "ListBuckets, CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation, PutObject, GetObject, HeadObject, DeleteObject, "
    "DeleteObjects, CopyObject, ListObjects, ListObjectsV2, CreateMultipartUpload, UploadPart, CompleteMultipartUpload, "
    "AbortMultipartUpload, ListParts, ListMultipartUploads, GetBucketAcl, PutBucketAcl, GetObjectAcl, PutObjectAcl (canned names, and "
    "grants that amount to one), upload by POST form with a policy"
)


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
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if (
            not issubclass(kind, errors.Refusal)
            or not isinstance(kind.__dict__.get("code"), str)
            or kind.code == "Local"
        ):
            continue
        rows[kind.code] = (kind.status, kind.template.replace("|", "\\|"))
    for table in (errors.NOT_FOUND, errors.MALFORMED):
        for noun, code in table.items():
            rows.setdefault(
                code, (400, f"an id of a {noun.replace('_', ' ')} that names nothing, or has the wrong form")
            )
    lines += [f"| `{code}` | {status} | {text} |" for code, (status, text) in sorted(rows.items())]
    return "\n".join(lines) + "\n"


def coverage_page() -> str:
    """What is real, record-only and absent."""
    absent = sorted(set(ec2.ACTIONS) - set(operations.EC2))
    lines = [NOTE, "# API coverage\n"]
    lines.append(
        "*real*: done with real bytes and processes. *record-only*: kept and told, without the effect. Anything else answers"
    )
    lines.append(
        "`UnsupportedOperation` and does nothing. A parameter or filter that is not built is refused by name, never ignored.\n"
    )
    lines += [
        f"## EC2 ({len(operations.EC2)} of {len(ec2.ACTIONS)} actions)\n",
        "| action | depth | note |",
        "|---|---|---|",
    ]
    for name in sorted(operations.EC2):
        depth = "record-only" if name in RECORD_ONLY else "real"
        lines.append(f"| {name} | {depth} | {RECORD_ONLY.get(name, '')} |")
    lines += ["", "## EBS direct\n", "Real: " + ", ".join(sorted(operations.EBS)) + ". Absent: ListChangedBlocks.\n"]
    lines += ["## STS\n", "Real: " + ", ".join(operations.STS) + ". The rest is absent.\n"]
    lines += ["## IAM\n", "Real: " + ", ".join(operations.IAM) + ", of the account itself. The rest is absent.\n"]
    lines += [
        "## Eucalyptus's bootstrap service\n",
        "Real: DescribeServiceCertificates, for `--bootstrap-url` of euca2ools.\n",
    ]
    lines += ["## S3 (path style)\n", f"Real: {S3}. The rest answers `NotImplemented`.\n"]
    lines += [
        "## Amiable's own API\n",
        "Signed with SigV4, service name `amiable`, JSON.\n",
        "| path | what |",
        "|---|---|",
    ]
    lines += [f"| `{path}` | {words} |" for path, words in OWN_API.items()]
    lines += [
        "",
        "## Absent EC2 actions\n",
        "<details><summary>" + str(len(absent)) + " actions</summary>\n",
        ", ".join(absent) + "\n",
        "</details>",
    ]
    return "\n".join(lines) + "\n"


PAGES = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "errors.md": errors_page,
    "api-coverage.md": coverage_page,
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
