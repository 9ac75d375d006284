"""What an instance's root may be replaced with: decisions alone."""

from dataclasses import replace

import pytest

from amiable.model.errors import InvalidParameterValue
from amiable.model.units import GIB
from amiable.rules.root_replacement import new_root
from tests.rules.test_devices import NOW, SNAPSHOT
from tests.rules.volumes import VOLUME

NEW = "vol-" + "2" * 17


def test_a_new_root_is_as_long_as_the_old_one_or_as_its_snapshot() -> None:
    small, large = replace(SNAPSHOT, size_gib=5), replace(SNAPSHOT, size_gib=9)
    assert (new_root(VOLUME, small, NEW, now=NOW).size_gib, new_root(VOLUME, large, NEW, now=NOW).size_gib) == (8, 9)
    assert new_root(VOLUME, large, NEW, now=NOW).size_bytes == 9 * GIB


def test_a_snapshot_that_is_longer_than_a_volume_of_the_roots_type_makes_no_root() -> None:
    magnetic = replace(VOLUME, volume_type="standard")
    with pytest.raises(InvalidParameterValue, match="1 to 1024 GiB"):
        new_root(magnetic, replace(SNAPSHOT, size_gib=1025), NEW, now=NOW)
