"""Which kind a kernel is, read from its bytes.

    bytes ─▶ kernel_payload: the ELF file in it ─▶ elf_notes: what it says to Xen ─▶ kind, version, and why in words

PV-GRUB is not told from other Xen kernels: what Amiable builds itself is registered as what it is.
"""

from typing import Final

from amiable.model.errors import InvalidParameterValue
from amiable.model.kernel import PV_GRUB, XEN_PV, KernelFacts, KernelKind
from amiable.model.units import human_bytes
from amiable.rules.elf_notes import Elf, NotElf, read_elf
from amiable.rules.kernel_payload import FILE_BYTES_MAX, Payload, open_payload

BITS_OF_ARCHITECTURE: Final = {"i386": 32, "x86_64": 64}


def inspect_kernel(data: bytes) -> KernelFacts:
    """What ``data``, a kernel's whole file, is; never raises for what the file holds."""
    if len(data) > FILE_BYTES_MAX:
        why = f"it has more than {human_bytes(FILE_BYTES_MAX)} and was not looked into"
        return KernelFacts(KernelKind.UNKNOWN, None, boots_directly=True, why=why)
    payload = open_payload(data)
    if payload.elf is None:
        return _unknown(payload, payload.why)
    try:
        elf = read_elf(payload.elf)
    except NotElf as reason:
        return _unknown(payload, str(reason))
    return _facts(payload, elf)


def _unknown(payload: Payload, why: str) -> KernelFacts:
    return KernelFacts(
        KernelKind.UNKNOWN, payload.version, boots_directly=True, why=f"{payload.container} of unknown content: {why}"
    )


def _facts(payload: Payload, elf: Elf) -> KernelFacts:
    boots_directly = payload.is_bzimage or (elf.pvh_entry is not None and payload.container == "ELF file")
    where = f"{payload.container}, {elf.bits}-bit"
    version = payload.version or " ".join(part for part in (elf.guest_os, elf.guest_version) if part) or None
    if not elf.is_pv:
        why = f"{where}, without a paravirtual entry for Xen"
        return KernelFacts(KernelKind.PLAIN, version, boots_directly, why, elf.bits)
    said = f"{where}, Xen PV of {elf.guest_os or 'an unnamed system'} ({elf.source})"
    if not elf.has_pae:
        why = f"{said}, without PAE: Xen 4 starts no such kernel"
        return KernelFacts(KernelKind.UNKNOWN, version, boots_directly, why, elf.bits)
    kind = KernelKind.XEN_PV64 if elf.bits == 64 else KernelKind.XEN_PV32
    return KernelFacts(kind, version, boots_directly, said, elf.bits)


def check_declared(facts: KernelFacts, architecture: str, pv_grub: KernelKind | None) -> KernelFacts:
    """``facts`` as registered: refuses the wrong architecture, and as PV-GRUB what Xen cannot start."""
    if facts.bits is not None and facts.bits != BITS_OF_ARCHITECTURE.get(architecture):
        right = next(name for name, bits in BITS_OF_ARCHITECTURE.items() if bits == facts.bits)
        raise InvalidParameterValue(
            parameter="Architecture", value=architecture, why=f"The kernel has {facts.bits} bits: give {right}."
        )
    if pv_grub is None:
        return facts
    assert pv_grub in PV_GRUB
    if facts.kind not in XEN_PV:
        raise InvalidParameterValue(parameter="Kind", value=pv_grub.value, why=f"The file is none: {facts.why}.")
    return KernelFacts(pv_grub, facts.version, boots_directly=False, why=f"registered as PV-GRUB; {facts.why}")
