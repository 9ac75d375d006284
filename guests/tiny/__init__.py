"""The tiny guest: a real Debian kernel, a busybox userland, and what an instance needs to be one.

It does DHCP, speaks to the metadata service (version 2), takes root's key from it, runs user data that starts with ``#!`` once an
instance, runs an SSH daemon, grows onto its whole disk and stops on the power button.  ``amiable-facts`` tells what it knows;
/usr/share/amiable/ballast is 16 MiB that no boot reads, with its checksum beside it.

    tiny-hvm.img          GPT disk, GRUB for BIOS and UEFI
    tiny-pv.ext4          the same root as a bare file system, for a kernel and RAM disk chosen apart
    tiny-menu.ext4        the same with kernel, RAM disk and /boot/grub/menu.lst inside, for PV-GRUB
    tiny-menu.img         that on the first partition of an MBR disk, its menu in /boot/grub/grub.conf
    vmlinuz, initrd       that kernel and RAM disk
    vmlinuz-other, …      another kernel of Debian with its RAM disk: ``uname -r`` tells them apart
    nobootloader.img      a root file system where a bootable disk is expected
    kernels.json          {"vmlinuz": version, "vmlinuz-other": version}
"""
