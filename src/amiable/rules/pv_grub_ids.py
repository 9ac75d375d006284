"""Which PV-GRUB 1.04 an old kernel id of Amazon's was.

Only knowledge, to recognise what an old bundle asks for: none of these kernels is here.  Source: bootstrap-vz, and for the last rows
third parties.
"""

from dataclasses import dataclass
from typing import Final

from amiable.model.kernel import KernelKind


@dataclass(frozen=True, slots=True)
class PvGrub:
    """A PV-GRUB: where it looks for its menu (``kind``), and the architecture of the kernels that it starts."""

    kind: KernelKind
    architecture: str


_COLUMNS: Final = (
    PvGrub(KernelKind.PV_GRUB_HD0, "i386"),
    PvGrub(KernelKind.PV_GRUB_HD0, "x86_64"),
    PvGrub(KernelKind.PV_GRUB_HD00, "i386"),
    PvGrub(KernelKind.PV_GRUB_HD00, "x86_64"),
)
_IDS: Final = """
    us-east-1       aki-8f9dcae6  aki-919dcaf8  aki-659ccb0c  aki-499ccb20
    us-west-1       aki-8e0531cb  aki-880531cd  aki-960531d3  aki-920531d7
    us-west-2       aki-f08f11c0  aki-fc8f11cc  aki-e28f11d2  aki-e68f11d6
    eu-west-1       aki-68a3451f  aki-52a34525  aki-5ea34529  aki-58a3452f
    ap-northeast-1  aki-136bf512  aki-176bf516  aki-196bf518  aki-1f6bf51e
    ap-southeast-1  aki-ae3973fc  aki-503e7402  aki-563e7404  aki-5e3e740c
    ap-southeast-2  aki-cd62fff7  aki-c362fff9  aki-c162fffb  aki-3b1d8001
    sa-east-1       aki-5b53f446  aki-5553f448  aki-5753f44a  aki-5153f44c
    us-gov-west-1   aki-1fe98d3c  aki-1de98d3e  aki-63e98d40  aki-61e98d42
    eu-central-1    aki-3e4c7a23  aki-184c7a05  -             -
    us-east-2       -             aki-da055ebf  -             -
    eu-west-2       -             aki-8b6369ef  -             -
    ap-south-1      -             aki-a7305ac8  -             -
    ap-northeast-2  -             aki-01a66b6f  -             -
    ca-central-1    -             aki-320ebd56  -             -
"""

PV_GRUB_IDS: Final = {
    image_id: pv_grub
    for row in _IDS.split("\n")
    for image_id, pv_grub in zip(row.split()[1:], _COLUMNS, strict=False)
    if image_id != "-"
}
