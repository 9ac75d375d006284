"""Which blocks a volume has changed: a law against a description of every byte, and the edges by hand."""

from hypothesis import given
from hypothesis import strategies as st

from amiable.blocks.nbd_client import Status
from amiable.jobs.changed_blocks import changed_blocks
from amiable.model.units import BLOCK_BYTES

UNIT = BLOCK_BYTES // 4
"""What the law cuts a disk into."""


def runs_of(flags: list[int]) -> list[tuple[int, int, int]]:
    """Units with flags as runs, neighbours that are alike not always joined."""
    found: list[tuple[int, int, int]] = []
    for number, flag in enumerate(flags):
        if found and found[-1][2] == flag and number % 3:
            offset, length, _ = found.pop()
            found.append((offset, length + UNIT, flag))
        else:
            found.append((number * UNIT, UNIT, flag))
    return found


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=40))
def test_a_block_is_changed_where_the_upper_layer_has_a_part_of_it_and_zero_where_all_of_it_is(
    units: list[tuple[int, bool]],
) -> None:
    depths, zeros = [depth for depth, _ in units], [is_zero for _, is_zero in units]
    statuses = [Status(offset, length, bool(flag), False) for offset, length, flag in runs_of([int(z) for z in zeros])]
    found = list(changed_blocks(runs_of(depths), statuses))
    wanted = []
    for index in range(-(-len(units) // 4)):
        mine = units[index * 4 : index * 4 + 4]
        if any(depth == 1 for depth, _ in mine):
            wanted.append((index, len(mine) == 4 and all(is_zero for _, is_zero in mine)))
    assert found == wanted


def test_what_a_layer_below_has_is_not_changed() -> None:
    whole = [Status(0, 4 * BLOCK_BYTES, False, False)]
    assert list(
        changed_blocks(
            [(0, BLOCK_BYTES, 2), (BLOCK_BYTES, 512, 1), (BLOCK_BYTES + 512, 3 * BLOCK_BYTES - 512, 0)], whole
        )
    ) == [(1, False)]
