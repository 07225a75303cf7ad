"""Threads are asked in parts, and answer in order."""

import threading
import time

import pytest

from sm3kit.core.threads import MOST_AT_ONCE, PARTS, in_threads


@pytest.mark.parametrize("count", [0, 1, PARTS - 1, PARTS * 3 + 5, PARTS * MOST_AT_ONCE * 2 + 7])
def test_answers_come_in_order_each_once(count):
    assert list(in_threads(lambda item: item + 1, range(count))) == list(range(1, count + 1))


def test_few_items_are_for_several_threads():
    together = threading.Barrier(4, timeout=20)
    assert len([*in_threads(lambda _: together.wait(), range(4), threads=4)]) == 4


def test_an_error_ends_it_and_nothing_more_is_begun():
    begun = []

    def fail(item):
        begun.append(item)
        time.sleep(0.001)
        if item == 3:
            raise ValueError("the third")

    with pytest.raises(ValueError, match="the third"):
        list(in_threads(fail, range(PARTS * MOST_AT_ONCE * 4), threads=1))
    assert len(begun) < PARTS * MOST_AT_ONCE * 4


def test_whoever_stops_asking_is_not_answered():
    begun = []

    def answer(item):
        begun.append(item)
        time.sleep(0.001)

    answers = in_threads(answer, range(PARTS * MOST_AT_ONCE * 4), threads=1)
    next(answers)
    answers.close()
    assert len(begun) < PARTS * MOST_AT_ONCE * 4
