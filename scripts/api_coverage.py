"""The page of what is real: from the tables of operations, and from the tests that proved them.

    real           answered by a function in ``server/operations.py`` (``server/s3.py``, ``api/ebs.py``), and a test marked
                   ``proves(service, operation)`` passed through boto3: the page names it
    unproved       answered, but no such test passed
    record-only    kept and told, without the effect; declared below with the reason
    absent         UnsupportedOperation

``docs/reference/proved.txt`` holds the proofs: ``make coverage-page`` writes it, a full run of the tests holds it against itself
(``tests/support/proofs.py``).  Nothing of it is written by hand.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from amiable.api import ebs, rbin
from amiable.server import operations
from amiable.wire.generated.ec2 import ACTIONS
from amiable.wire.operations import SERVICES
from scripts.reference_actions import ABSENT_SERVICES, COMPANIONS, EC2

PROOFS: Final = Path(__file__).parents[1] / "docs" / "reference" / "proved.txt"

_ROUTES: Final = "kept and told; guests of a VPC reach each other and nothing leads out, whatever it says"
_VPC: Final = "kept and told; a VPC is a network of its own where guests are routed, its settings change nothing"
_ADDRESS: Final = "kept and told wherever EC2 tells it; leads to the guest only where your own network maps it so"
_MONITORING: Final = "kept and told wherever EC2 tells it; nothing is measured"
_IO: Final = "kept and told; a volume's input and output are never switched off here"
EC2_RECORDS: Final = {
    **dict.fromkeys(
        (
            "CreateRouteTable",
            "DeleteRouteTable",
            "DescribeRouteTables",
            "CreateRoute",
            "DeleteRoute",
            "AssociateRouteTable",
            "DisassociateRouteTable",
            "CreateInternetGateway",
            "AttachInternetGateway",
            "DetachInternetGateway",
            "DeleteInternetGateway",
            "DescribeInternetGateways",
        ),
        _ROUTES,
    ),
    **dict.fromkeys(("DescribeVpcAttribute", "ModifyVpcAttribute", "ModifySubnetAttribute"), _VPC),
    **dict.fromkeys(
        ("AllocateAddress", "ReleaseAddress", "AssociateAddress", "DisassociateAddress", "DescribeAddresses"), _ADDRESS
    ),
    **dict.fromkeys(("ModifyVolumeAttribute", "EnableVolumeIO"), _IO),
    **dict.fromkeys(("MonitorInstances", "UnmonitorInstances"), _MONITORING),
    "DescribeInstanceCreditSpecifications": "kept and told; a guest has its processors to itself",
    "DescribeNetworkAcls": "the default one of each VPC, which lets everything through; cannot be changed",
    "DescribeDhcpOptions": "EC2's defaults; cannot be changed",
    "AttachNetworkInterface": "refuses: an instance has one interface (`AttachmentLimitExceeded`)",
    "DetachNetworkInterface": "refuses: an instance's only interface is its primary one (`OperationNotPermitted`)",
}
RECORD_ONLY: Final = {
    **{("ec2", name): why for name, why in EC2_RECORDS.items()},
    ("iam", "ListAttachedRolePolicies"): "always empty: there are no managed policies",
}
NOTES: Final = {
    "s3": "path style; ACLs as canned names, and grants that amount to one; upload by POST form with a policy. The rest answers `NotImplemented`.",
    "iam": "of the account itself.",
    "ebs": "",
}

Key = tuple[str, str]
"""Service and operation."""


def answered() -> dict[str, frozenset[str]]:
    """Which operations have a function, by service."""
    tables: dict[str, Iterable[str]] = {
        name.lower(): table for name, table in vars(operations).items() if name.isupper() and name.lower() in SERVICES
    }
    return {
        **{service: frozenset(table) for service, table in tables.items()},
        "ebs": frozenset(ebs.OPERATIONS),
        "rbin": frozenset(rbin.OPERATIONS),
        "s3": frozenset(COMPANIONS["s3"][1].split()),
    }


def read_proofs(path: Path = PROOFS) -> dict[Key, str]:
    """(service, operation) → the id of the test that proved it."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [line.split(" ", 2) for line in lines]
    return {(service, operation): test for service, operation, test in rows}


def write_proofs(proofs: Mapping[Key, str], path: Path = PROOFS) -> None:
    """Keeps the proofs, a line each, in order."""
    path.write_text("".join(f"{service} {operation} {test}\n" for (service, operation), test in sorted(proofs.items())))


def page() -> str:
    """The coverage page."""
    proofs, built = read_proofs(), answered()
    lines = [
        "# API coverage\n",
        "*real*: done with real bytes and processes, and the test named beside it passed through boto3. *unproved*: built, but no such",
        "test passed. *record-only*: kept and told, without the effect. *absent*: answers `UnsupportedOperation` and does nothing. A",
        "parameter or filter that is not built is refused by name, never ignored. Tier A: no system of machine images is real without",
        "it; B: its users expect it; C: the long tail.\n",
    ]
    lines += _summary(built["ec2"], proofs)
    for group, tiers in EC2.items():
        lines += [f"### {group}\n", "| action | tier | depth | proved by, or why |", "|---|---|---|---|"]
        for tier, names in tiers.items():
            lines += [_row("ec2", name, tier, built["ec2"], proofs) for name in names.split()]
        lines.append("")
    lines += _beyond(built, proofs)
    lines += _companions(built, proofs)
    return "\n".join(lines) + "\n"


def depth(service: str, name: str, built: frozenset[str], proofs: Mapping[Key, str]) -> str:
    """One operation's depth."""
    if name not in built:
        return "absent"
    if (service, name) in RECORD_ONLY:
        return "record-only"
    return "real" if (service, name) in proofs else "unproved"


def _row(service: str, name: str, tier: str, built: frozenset[str], proofs: Mapping[Key, str]) -> str:
    found = depth(service, name, built, proofs)
    note = RECORD_ONLY.get((service, name), "") if found == "record-only" else proofs.get((service, name), "")
    words = f"`{note.removeprefix('tests/')}`" if found == "real" else note
    cells = [name, tier, f"**{found}**" if found == "real" else found, words]
    return "| " + " | ".join(cells) + " |"


def _summary(built: frozenset[str], proofs: Mapping[Key, str]) -> list[str]:
    """How many of each group are real, a line a group."""
    lines = ["## EC2\n", "| group | tier A real | tier B real | tier C real |", "|---|---|---|---|"]
    sums = {"A": [0, 0], "B": [0, 0], "C": [0, 0]}
    for group, tiers in EC2.items():
        cells = []
        for tier in "ABC":
            names = tiers.get(tier, "").split()
            real = sum(depth("ec2", name, built, proofs) == "real" for name in names)
            sums[tier][0] += real
            sums[tier][1] += len(names)
            cells.append(f"{real} of {len(names)}" if names else "")
        lines.append(f"| {group} | {' | '.join(cells)} |")
    lines.append("| **all** | " + " | ".join(f"{real} of {count}" for real, count in sums.values()) + " |")
    return [*lines, ""]


def _beyond(built: Mapping[str, frozenset[str]], proofs: Mapping[Key, str]) -> list[str]:
    """EC2 actions that are answered but stand in no group, and how many are absent besides."""
    grouped = {name for tiers in EC2.values() for names in tiers.values() for name in names.split()}
    others = sorted(built["ec2"] - grouped)
    absent = len(set(ACTIONS) - grouped - built["ec2"])
    lines = [
        f"The other {absent} of EC2's {len(ACTIONS)} actions have nothing to do with machine images and are absent.\n"
    ]
    if not others:
        return lines
    return [
        "### Besides\n",
        "| action | tier | depth | proved by, or why |",
        "|---|---|---|---|",
        *(_row("ec2", name, "", built["ec2"], proofs) for name in others),
        "",
        *lines,
    ]


def _companions(built: Mapping[str, frozenset[str]], proofs: Mapping[Key, str]) -> list[str]:
    lines = ["## Companion services\n"]
    for service, (tier, names) in COMPANIONS.items():
        here = built.get(service, frozenset())
        known = names.split()
        note = NOTES.get(service, "")
        lines += [
            f"### {service}\n",
            *([note + "\n"] if note else []),
            "| operation | tier | depth | proved by |",
            "|---|---|---|---|",
        ]
        lines += [_row(service, name, tier, here, proofs) for name in known]
        lines += [_row(service, name, "", here, proofs) for name in sorted(here - set(known))]
        lines.append("")
    lines.append("Absent under their own names: " + ", ".join(ABSENT_SERVICES) + ".\n")
    lines += [
        "### Eucalyptus's bootstrap service\n",
        "DescribeServiceCertificates, for `--bootstrap-url` of euca2ools.\n",
    ]
    return lines
