"""The Xen appliance: a machine that runs a paravirtual kernel unmodified, as the hosts of 2006 did.

    QEMU ─▶ Xen ─▶ dom0: a Debian kernel and one initial RAM disk ─▶ domU: the instance's own kernel, disks, interface, console

It is assembled on the user's machine from Debian's packages, fetched and unpacked beside the system (``packages``), and never
part of the repository.  ``assembly`` makes it once; ``instance`` adds what one instance needs; ``pv_grub`` and ``pv32`` are the
two things that the packages do not hold ready.
"""
