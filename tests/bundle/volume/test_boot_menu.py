from amiable.bundle.volume import boot_menu
from amiable.bundle.volume.boot_menu import Kernel

UUID = "3f1c2b7e-0000-4000-8000-00000000abcd"
DEBIAN = f"""\
search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt1 {UUID}
menuentry 'Debian' {{
    search --no-floppy --fs-uuid --set=root {UUID}
    linux /boot/vmlinuz-6.1.0-1-amd64 root=UUID={UUID} ro quiet
    initrd /boot/initrd.img-6.1.0-1-amd64
}}
"""


def test_the_newest_kernel_comes_first_with_its_ramdisk() -> None:
    names = {
        "vmlinuz-6.9.0",
        "vmlinuz-6.10.0",
        "initrd.img-6.10.0",
        "initramfs-6.9.0.img",
        "vmlinuz-6.11.0.old",
        "config-6.9",
    }
    names |= {"vmlinuz-0-rescue-abc", "grub"}
    assert boot_menu.kernels(names) == (
        Kernel("/boot/vmlinuz-6.10.0", "/boot/initrd.img-6.10.0"),
        Kernel("/boot/vmlinuz-6.9.0", "/boot/initramfs-6.9.0.img"),
    )


def test_a_kernel_without_version_takes_the_ramdisk_without_version() -> None:
    assert boot_menu.kernels({"vmlinuz", "initrd"}) == (Kernel("/boot/vmlinuz", "/boot/initrd"),)
    assert boot_menu.kernels({"initrd"}) == ()


def test_a_menu_that_names_the_images_root_is_known() -> None:
    assert boot_menu.names_root(DEBIAN, uuid=UUID, roots={f"UUID={UUID}"})
    assert not boot_menu.names_root(DEBIAN, uuid="other", roots={"UUID=other"})
    assert not boot_menu.names_root(
        DEBIAN.replace("root=UUID", "root=/dev/vda1 x=UUID"), uuid=UUID, roots={f"UUID={UUID}"}
    )
    assert not boot_menu.names_root("blscfg\n" + DEBIAN, uuid=UUID, roots={f"UUID={UUID}"})
    assert not boot_menu.names_root("echo nothing", uuid=UUID, roots={f"UUID={UUID}"})


def test_generated_menus_name_the_images_root() -> None:
    kernels = [Kernel("/boot/vmlinuz-6", "/boot/initrd.img-6"), Kernel("/boot/vmlinuz-5", None)]
    text = boot_menu.grub_cfg(kernels, root=f"UUID={UUID}", uuid=UUID, options="quiet")
    assert boot_menu.names_root(text, uuid=UUID, roots={f"UUID={UUID}"})
    assert text.count("menuentry") == 2 and text.count("initrd") == 2  # the ramdisk's name holds the word once more
    classic = boot_menu.menu_lst(kernels, root="/dev/sda1")
    assert boot_menu.names_root(classic, uuid=UUID, roots={"/dev/sda1"})
    assert "root (hd0)\nkernel /boot/vmlinuz-6 root=/dev/sda1 ro console=hvc0\ninitrd /boot/initrd.img-6\n" in classic


def test_options_of_the_distribution_are_kept_but_root_and_consoles() -> None:
    text = 'GRUB_CMDLINE_LINUX_DEFAULT="quiet splash"\n# GRUB_CMDLINE_LINUX="no"\nGRUB_CMDLINE_LINUX="root=/dev/x net.ifnames=0"\n'
    assert boot_menu.default_options(text) == "net.ifnames=0 quiet splash"
