from uuid import UUID

from amiable.bundle.volume.origin import Origin, of_directory

IDENTITY = "3f1c2b7e-0000-4000-8000-00000000abcd"


def test_a_folder_is_called_as_its_own_fstab_calls_root() -> None:
    assert of_directory(f"UUID={IDENTITY} / ext4 defaults 0 1\n") == Origin(uuid=UUID(IDENTITY))
    assert of_directory("LABEL=debian-root / ext4 defaults 0 1\n") == Origin(label="debian-root")
    assert of_directory("/dev/sda1 / ext4 defaults 0 1\n") == Origin()
    assert of_directory("") == Origin()


def test_a_name_that_no_ext_file_system_can_have_is_not_taken() -> None:
    assert of_directory("LABEL=a-label-of-many-letters / xfs defaults 0 0\n") == Origin()
    assert of_directory("UUID=12AB-34CD / vfat defaults 0 0\n") == Origin()
