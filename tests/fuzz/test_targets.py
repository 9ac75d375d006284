"""The fuzzers' targets over what earlier runs kept, and over mutations: ``make fuzz`` does the same for longer, led by coverage."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.seeds import KEPT, MADE, seeds_of
from fuzz.targets import TARGETS


def test_every_target_has_seeds_and_files_that_earlier_runs_kept() -> None:
    assert set(MADE) == set(TARGETS)
    assert {folder.name for folder in KEPT.iterdir()} == set(TARGETS)
    assert all(len(seeds_of(name)) > len(MADE[name]()) > 0 for name in TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_what_earlier_runs_kept(name: str) -> None:
    for seed in seeds_of(name):
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_target_takes_mutations(name: str, data: st.DataObject) -> None:
    seed = bytearray(data.draw(st.sampled_from(seeds_of(name)), "seed"))
    for _ in range(data.draw(st.integers(1, 4), "mutations")):
        at = data.draw(st.integers(0, len(seed)), "at")
        cut = data.draw(st.integers(0, 64), "cut")
        seed[at : at + cut] = data.draw(st.binary(max_size=64), "put")
    TARGETS[name](bytes(seed))
