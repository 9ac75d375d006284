"""``amiable doctor``: what this host has and lacks, and how the server is; exits 1 when something is broken.

It asks the host directly (programs, kernel, rights) and the running server through its API.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from amiable.cli.env import old_aws_cli
from amiable.cli.output import Output
from amiable.cli.serve import settings_from
from amiable.cli.terminal_text import one_line
from amiable.model.errors import Refusal
from amiable.model.units import human_bytes

Verdict = Literal["ok", "note", "broken"]
FREE_BYTES_LOW = 2 << 30

PROGRAMS = {
    "qemu-img": "qemu-utils",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "ssh": "openssh-client",
    "socat": "socat",
    "swtpm": "swtpm",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at, and what it means."""

    what: str
    verdict: Verdict
    words: str
    hint: str = ""


def doctor(
    *,
    data: Annotated[
        str | None, Parameter(help="The server's data directory. Default: AMIABLE_DATA, else as of serve.")
    ] = None,
    output: Output = "table",
) -> int:
    """Checks programs, rights, space, accelerator and server; says what each lack costs."""
    settings = settings_from({"data": data})
    folder = Path(settings.data)
    findings = [
        *programs(settings.qemu),
        *rights(),
        *unless_closed("space", lambda: space(folder)),
        *unless_closed("Xen appliance", lambda: xen(Path(settings.appliance))),
        *tools(),
        *server(),
    ]
    if output == "json":
        import json
        from dataclasses import asdict

        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            print(f"{finding.verdict:<6}  {finding.what.ljust(width)}  {one_line(finding.words)}")
            if finding.hint:
                print(f"{'':6}  {'':{width}}  hint: {one_line(finding.hint)}")
    return 1 if any(finding.verdict == "broken" for finding in findings) else 0


def unless_closed(what: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """The check's findings; that its folder is closed to this user is one, and ends no other check."""
    try:
        return check()
    except OSError as error:
        hint = "run as the user who started the server, or name another directory with --data"
        return [Finding(what, "broken", f"{error.filename}: {error.strerror}", hint)]


def programs(qemu: str) -> list[Finding]:
    """The programs that Amiable runs; ``qemu`` is the setting's."""
    found = []
    for program, package in {qemu: "qemu-system-x86", **PROGRAMS}.items():
        path = shutil.which(program)
        words = path or "not installed"
        found.append(Finding(program, "ok" if path else "broken", words, "" if path else f"apt-get install {package}"))
    return found


def rights() -> list[Finding]:
    """What this user may do."""
    if os.getuid() == 0:
        return [Finding("rights", "ok", "root: each guest's QEMU runs as a user of its own")]
    limit = Path("/proc/sys/user/max_user_namespaces")
    allowed = not limit.exists() or limit.read_text().strip() != "0"
    words = "ordinary user: guests' QEMU runs as you, in user namespaces"
    if allowed:
        return [Finding("rights", "ok", words)]
    return [
        Finding(
            "rights",
            "note",
            "ordinary user, and user namespaces are off: guests get no SSH and a weaker sandbox",
            "sysctl user.max_user_namespaces=10000, or run as root",
        )
    ]


def space(folder: Path) -> list[Finding]:
    """Free space of the data directory's disk."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    low = free < FREE_BYTES_LOW
    return [
        Finding(
            "space",
            "note" if low else "ok",
            f"{human_bytes(free)} free for {folder}",
            "a full disk stops imports and guests" if low else "",
        )
    ]


def xen(folder: Path) -> list[Finding]:
    """Whether the Xen appliance is there, which paravirtual images may need, and what fetching it would cost."""
    from amiable.vm.appliance.assembly import download_bytes, find_appliance
    from amiable.vm.appliance.programs import BuildFailure

    found = find_appliance(folder)
    if found is None:
        hint = "amiable kernel appliance fetches it now"
        try:
            with tempfile.TemporaryDirectory(prefix="amiable-doctor-") as name:
                size = download_bytes(Path(name))
        except BuildFailure as failure:
            words = f"not assembled, and it could not be: {failure}"
            return [Finding("Xen appliance", "note", words, failure.hint or "needs the packages of Debian 12")]
        words = f"not assembled: the first launch under Xen fetches {human_bytes(size)} of Debian packages"
        return [Finding("Xen appliance", "note", words, hint)]
    pv32 = "with" if found.xen_pv32.exists() else "without"
    hint = "" if pv32 == "with" else "amiable kernel build-pv32, for 32-bit paravirtual images"
    words = f"{found.folder}, {pv32} the hypervisor for 32-bit guests"
    return [Finding("Xen appliance", "ok", words, hint)]


def tools() -> list[Finding]:
    """The AWS command line, if it would call the real cloud."""
    warning = old_aws_cli()
    if warning:
        return [Finding("aws", "note", warning)]
    path = shutil.which("aws")
    return [Finding("aws", "ok", path)] if path else [Finding("aws", "note", "not installed", "pip install awscli")]


def _route(route: dict[str, str]) -> Finding:
    """The way from the host to one subnet with guests."""
    words = f"{route['CidrBlock']} of {route['VpcId']}: {route['Words']}"
    if not route["IsMissing"]:
        return Finding("host route", "ok", words)
    if "host_routes" in route["Words"]:
        mends = f"let the server's --host-routes hold {route['CidrBlock']} too"
    else:
        mends = "give the VPC addresses of its own"
    return Finding("host route", "note", words, f"amiable proxy reaches its guests; or {mends}")


def _accelerator_hint(words: str) -> str:
    """What opens a KVM that is there."""
    if f"/dev/kvm: {os.strerror(errno.EACCES)}" in words:
        return "as root: usermod -aG kvm USER, of the server's user; log in again and start the server"
    return ""


def _network_hint(kind: str, words: str) -> str:
    """What makes the network a better one, where it is known."""
    if kind == "namespace" and f"/dev/net/tun: {os.strerror(errno.EACCES)}" in words:
        return "for guests that see each other: chmod 0666 /dev/net/tun, which is Debian's own, or start the server as root"
    if kind in ("routed", "namespace"):
        return ""
    return "let the server make network namespaces: run it as root, or allow user namespaces (sysctl user.max_user_namespaces)"


def server() -> list[Finding]:
    """What the running server says of itself."""
    from botocore.exceptions import (
        BotoCoreError,
        CredentialRetrievalError,
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
    )

    from amiable.cli.client import NothingNamed, call, endpoint

    try:
        facts = call("GET", "/host")
    except NothingNamed as refusal:
        return [Finding("server", "note", refusal.message, refusal.advice)]
    except Refusal as refusal:
        return [Finding("server", "broken", refusal.message, refusal.advice)]
    except (CredentialRetrievalError, NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        return [Finding("server", "broken", str(error), 'eval "$(amiable env)"')]
    except BotoCoreError:  # the many kinds of "cannot connect"
        return [Finding("server", "broken", f"no answer at {endpoint()}", "amiable serve")]
    return [Finding("server", "ok", f"{endpoint()}, version {facts['Version']}"), *_told(facts)]


def _told(facts: dict[str, Any]) -> list[Finding]:
    """What a server's word on its host means."""
    found: list[Finding] = []
    if not facts["QemuInstalled"]:
        hint = "apt-get install qemu-system-x86, or start the server with another --qemu"
        found.append(
            Finding("server's QEMU", "broken", f"{facts['Qemu']} is not installed: no launch can succeed", hint)
        )
    words = facts["AcceleratorWords"]
    found.append(
        Finding("accelerator", "ok" if facts["Accelerator"] == "kvm" else "note", words, _accelerator_hint(words))
    )
    kind, words = facts["Network"], facts["NetworkWords"]
    found.append(Finding("network", "ok" if kind == "routed" else "note", words, _network_hint(kind, words)))
    found += [_route(route) for route in facts["HostRoutes"]]
    reclaimable = facts["ReclaimableBytes"]
    words = f"{human_bytes(facts['StoredBytes'])} stored, {human_bytes(reclaimable)} reclaimable"
    found.append(
        Finding(
            "blocks",
            "note" if reclaimable else "ok",
            words,
            "the collector comes with a later version" if reclaimable else "",
        )
    )
    failed = facts["Jobs"].get("failed", 0)
    found.append(
        Finding(
            "jobs",
            "note" if failed else "ok",
            ", ".join(f"{n} {state}" for state, n in facts["Jobs"].items()) or "none",
        )
    )
    return found
