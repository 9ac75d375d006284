from amiable.bundle.volume.fstab import Root, adapt, generate, root_source

ROOT = Root("UUID=aaaa", "ext4")


def test_an_fstab_that_holds_is_left_as_it_is() -> None:
    text = "# comment\nUUID=aaaa / ext4 errors=remount-ro 0 1\ntmpfs /tmp tmpfs defaults 0 0\n/dev/sda2 /mnt ext3 defaults 0 0\n"
    assert adapt(text, ROOT, {}) == (text, ())


def test_root_gets_its_new_name_and_type_and_loses_options_of_the_old_type() -> None:
    text, remarks = adapt("/dev/xvda1 / xfs noatime,inode64,logbufs=8 0 0\n", ROOT, {})
    assert text == "UUID=aaaa\t/\text4\tnoatime\t0 0\n"
    assert remarks == ("root is mounted as UUID=aaaa, ext4",)


def test_lines_of_disks_that_are_not_there_become_comments() -> None:
    lines = [
        "UUID=aaaa / ext4 defaults 0 1",
        "UUID=bbbb /boot ext4 defaults 0 2",
        "LABEL=data /data xfs defaults 0 2",
        "LABEL=maybe /maybe xfs nofail 0 2",
        "UUID=cccc none swap sw 0 0",
        "server:/export /net nfs defaults 0 0",
    ]
    text, remarks = adapt("\n".join(lines), ROOT, {"boot": "its files are part of the image", "net": "not local"})
    commented = [line for line in text.splitlines() if line.startswith("# ")]
    assert commented == [f"# {lines[number]}" for number in (1, 2, 4, 5)]
    assert remarks[0] == "UUID=bbbb on /boot is not mounted: its files are part of the image"
    assert remarks[1] == "LABEL=data on /data is not mounted: that disk is not in the image"


def test_a_missing_root_is_added() -> None:
    text, remarks = adapt("proc /proc proc defaults 0 0", ROOT, {})
    assert root_source(text) == "UUID=aaaa" and len(remarks) == 1


def test_a_generated_fstab_mounts_root() -> None:
    assert root_source(generate(ROOT)) == "UUID=aaaa"
