"""Turns by name: one at a time for each, and none waits for another name's."""

import threading

from amiable.vm.turns import Turns

SECONDS_MAX = 60


def test_two_of_one_name_take_turns_and_another_name_waits_for_neither() -> None:
    turns, order = Turns(), []
    has_turn, may_end = threading.Event(), threading.Event()

    def first() -> None:
        with turns.of("a"):
            has_turn.set()
            assert may_end.wait(SECONDS_MAX)
            order.append("first")

    def second() -> None:
        with turns.of("a"):
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert has_turn.wait(SECONDS_MAX)
    threads[1].start()
    with turns.of("b"):
        order.append("other")
    may_end.set()
    for thread in threads:
        thread.join(SECONDS_MAX)
    assert order == ["other", "first", "second"]


def test_a_name_is_forgotten_with_the_last_who_has_its_turn() -> None:
    turns = Turns()
    with turns.of("a"), turns.of("b"):
        assert set(turns._locks) == {"a", "b"}
    assert not turns._locks
