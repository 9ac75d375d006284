"""Proves that KVM runs guests at a machine's speed: a long-mode, paged guest of 200,000 loops, timed, then a CR3 and an EFER write.

Run as ``python -S -m amiable.vm.kvm_probe``: a child that may hang or be killed.  Prints one JSON object.  A device node that exists,
opens, and runs ten bytes of real mode proves nothing: under an emulating KVM each ring-0 instruction costs about a microsecond.
"""

import ctypes
import fcntl
import json
import mmap
import os
import struct
import time

KVM_CREATE_VM, KVM_CREATE_VCPU, KVM_GET_VCPU_MMAP_SIZE, KVM_RUN = 0xAE01, 0xAE41, 0xAE04, 0xAE80
KVM_SET_USER_MEMORY_REGION, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS = 0x4020AE46, 0x4090AE82, 0x8138AE83, 0x4138AE84
KVM_EXIT_HLT = 5
MEMORY_BYTES = 2 << 20
LOOPS = 200_000
ROUNDS = 3
LOOP_SECONDS_MAX = 0.050
CODE, PML4, PDPT, PD = 0x8000, 0x2000, 0x3000, 0x4000

PROGRAM = (
    b"\xb9" + struct.pack("<I", LOOPS) + b"\xff\xc9\x75\xfc"  # mov ecx, LOOPS; dec ecx; jnz
    b"\x0f\x20\xd8\x0f\x22\xd8"  # mov rax, cr3; mov cr3, rax
    b"\xb9\x80\x00\x00\xc0\x0f\x32\x0f\x30\xf4"  # mov ecx, EFER; rdmsr; wrmsr; hlt
)


def segment(selector: int, kind: int, *, long: int, big: int) -> bytes:
    """A flat kvm_segment."""
    return struct.pack("<QIH10B", 0, 0xFFFFFFFF, selector, kind, 1, 0, big, 1, long, 1, 0, 0, 0)


def loop_seconds(device: int) -> float:
    """How long the guest took; raises OSError or RuntimeError when it did not end by its halt."""
    machine = fcntl.ioctl(device, KVM_CREATE_VM, 0)
    memory = mmap.mmap(-1, MEMORY_BYTES)
    memory[CODE : CODE + len(PROGRAM)] = PROGRAM
    for table, entry in ((PML4, PDPT | 3), (PDPT, PD | 3), (PD, 0x83)):
        memory[table : table + 8] = struct.pack("<Q", entry)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(machine, KVM_SET_USER_MEMORY_REGION, struct.pack("<IIQQQ", 0, 0, 0, MEMORY_BYTES, address))
    cpu = fcntl.ioctl(machine, KVM_CREATE_VCPU, 0)
    shared = mmap.mmap(cpu, fcntl.ioctl(device, KVM_GET_VCPU_MMAP_SIZE, 0))
    special = bytearray(fcntl.ioctl(cpu, KVM_GET_SREGS, bytes(0x138)))
    special[0:24] = segment(8, 11, long=1, big=0)
    for place in range(1, 6):
        special[place * 24 : place * 24 + 24] = segment(16, 3, long=0, big=1)
    # cr0 (PE, NE, PG …), cr2, cr3, cr4 (PAE), cr8, efer (LME, LMA) follow eight segments and two tables
    special[224:272] = struct.pack("<6Q", 0x80000031, 0, PML4, 0x20, 0, 0x500)
    fcntl.ioctl(cpu, KVM_SET_SREGS, bytes(special))
    registers = [0] * 18
    registers[6], registers[16], registers[17] = 0x7000, CODE, 2
    fcntl.ioctl(cpu, KVM_SET_REGS, struct.pack("<18Q", *registers))
    start = time.perf_counter()
    fcntl.ioctl(cpu, KVM_RUN, 0)
    seconds = time.perf_counter() - start
    reason = struct.unpack_from("<I", shared, 8)[0]
    os.close(cpu)
    os.close(machine)
    if reason != KVM_EXIT_HLT:
        raise RuntimeError(f"a paged guest ended with exit reason {reason}")
    return seconds


def probe() -> tuple[bool, str]:
    """Whether KVM is real, and why not."""
    try:
        device = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return False, f"/dev/kvm: {error.strerror}"
    try:
        best = min(loop_seconds(device) for _ in range(ROUNDS))
    except (OSError, RuntimeError) as error:
        return False, f"KVM: {error}"
    if best > LOOP_SECONDS_MAX:
        return False, f"KVM is emulated: {LOOPS} loops took {best * 1000:.0f} ms, hardware needs less than 1 ms"
    return True, f"{LOOPS} loops took {best * 1000:.2f} ms"


if __name__ == "__main__":
    usable, why = probe()
    print(json.dumps({"usable": usable, "why": why}))
