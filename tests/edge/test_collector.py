"""When the garbage collector goes through everything: not while there is much of it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from app.core.memory import Collector


class Node:
    """Two of them hold each other."""

    other: Node


def cycle() -> weakref.ref[Node]:
    """One that nobody else holds, old enough for a full collection alone."""
    one, other = Node(), Node()
    one.other, other.other = other, one
    gc.collect(1)
    gc.collect(1)
    return weakref.ref(one)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Settled here; this process's own collector is as before afterwards."""
    thresholds = gc.get_threshold()
    collector = Collector()
    collector.settle()
    yield collector
    gc.unfreeze()
    gc.set_threshold(*thresholds)


async def test_a_cycle_is_found_in_quiet(collector: Collector) -> None:
    """At the next look."""
    node = cycle()
    assert node() is not None
    await collector.look()
    assert node() is None


async def test_nothing_is_looked_through_beside_a_large_answer_but_now_and_then(collector: Collector) -> None:
    """A tenth look finds what nine have left."""
    answer = [[number] for number in range(600_000)]
    node = cycle()
    for _ in range(9):
        await collector.look()
    assert node() is not None
    await collector.look()
    assert node() is None
    assert len(answer) == 600_000
