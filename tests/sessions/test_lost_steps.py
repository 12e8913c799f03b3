"""A store that goes back in time: what was acknowledged and is lost is noticed, and never written over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from app.core.errors import SequenceConflict, UnknownSession
from app.sessions.service import SessionService
from app.sessions.steps.calls import StepCall
from app.sessions.stores.store import Stored, Write
from tests.rig import sessions
from tests.sessions.bench import LIMITS, Bench, opened

MODEL = "tiny-text-lstm"


@pytest.fixture
async def replicas(bench: Bench) -> AsyncIterator[list[SessionService]]:
    """Four processes on one store."""
    async with AsyncExitStack() as stack:
        more = [
            await stack.enter_async_context(sessions(bench.rig, bench.store, LIMITS, bench.clock))
            for _ in range(3)
        ]
        yield [bench.service, *more]


async def feed(service: SessionService, *inputs: int, seq: int | None = None) -> None:
    """One call for each input; raises what the first failed with."""
    for number, one in enumerate(inputs):
        (outcome,) = await service.steps([StepCall("a", [one], None if seq is None else seq + number)])
        if not isinstance(outcome, bytes):
            raise outcome


def held(bench: Bench) -> Stored:
    """The record that the store has now."""
    (stored,) = bench.store.get(["a"])
    assert stored is not None
    return stored


def go_back(bench: Bench, old: Stored | None) -> None:
    """Put an earlier record in the place of the present one, as a restored snapshot does."""
    bench.store.remove([("a", held(bench).revision)])
    if old is not None:
        assert bench.store.write([Write("a", 0, old)])[0].ok


async def test_steps_without_a_number_are_refused_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The error says where the session is; it is counted and logged, and then the session goes on."""
    await bench.service.create(opened(MODEL, id="a"))
    await feed(bench.service, 1, 2)
    old = held(bench)
    await feed(bench.service, 3, 1, 2)
    go_back(bench, old)
    calls = [StepCall("a", [3]), StepCall("a", [1])]
    for error in await bench.service.steps(calls):
        assert isinstance(error, SequenceConflict)
        assert "was at step 5 and is at 2 now" in error.message
        assert (error.step, error.expected) == (2, 3)
    assert bench.rig.counts.sessions.count("lost") == 1
    assert "session 'a' was at step 5, and the store has an older record of it" in caplog.text
    await feed(bench.service, 3)
    assert (await bench.service.view("a")).step == 3
    assert bench.rig.counts.sessions.count("lost") == 1


async def test_of_two_that_saw_the_lost_steps_one_tells(bench: Bench, replicas: list[SessionService]) -> None:
    one, two = replicas[:2]
    await one.create(opened(MODEL, id="a"))
    await feed(one, 1)
    old = held(bench)
    await feed(one, 2)
    await feed(two, 3)
    go_back(bench, old)
    bench.clock.now += 1.0
    with pytest.raises(SequenceConflict, match="was at step 3 and is at 1 now"):
        await feed(two, 1)
    await feed(one, 2)
    await feed(two, 3)
    assert (await one.view("a")).step == 3
    assert bench.rig.counts.sessions.count("lost") == 1


async def test_numbered_steps_are_told_the_number_that_is_due(bench: Bench) -> None:
    """So whoever keeps what it sent can send it again."""
    await bench.service.create(opened(MODEL, id="a"))
    await feed(bench.service, 1, 2, seq=1)
    old = held(bench)
    await feed(bench.service, 3, 1, seq=3)
    go_back(bench, old)
    with pytest.raises(SequenceConflict, match="next seq is 3, not 5") as told:
        await feed(bench.service, 2, seq=5)
    assert told.value.expected == 3
    assert bench.rig.counts.sessions.count("lost") == 1
    await feed(bench.service, 3, 1, 2, seq=3)
    assert (await bench.service.view("a")).step == 5


@pytest.mark.parametrize("num_writes", [1, 2, 3, 4])
async def test_no_lost_record_is_taken_for_one_that_came_after(
    bench: Bench, replicas: list[SessionService], num_writes: int
) -> None:
    """A process that remembers the lost steps does not build on them, however many others wrote meanwhile."""
    one, two, three, four = replicas
    await one.create(opened(MODEL, id="a"))
    await feed(one, 1, seq=1)
    old = held(bench)
    await feed(two, 2, 3, seq=2)
    go_back(bench, old)
    after = [3, 1, 2, 1][:num_writes]
    await feed(three, *after, seq=2)
    outcomes = await two.steps([StepCall("a", [3])])
    applied = [3 for one in outcomes if isinstance(one, bytes)]
    await four.create(opened(MODEL, id="b"))
    for number, value in enumerate([1, *after, *applied], start=1):
        (outcome,) = await four.steps([StepCall("b", [value], number)])
        assert isinstance(outcome, bytes)
    assert (await four.states.row("a")).fields == (await four.states.row("b")).fields


async def test_a_session_that_the_store_has_lost_is_counted(bench: Bench) -> None:
    await bench.service.create(opened(MODEL, id="a"))
    await feed(bench.service, 1)
    go_back(bench, None)
    with pytest.raises(UnknownSession):
        await feed(bench.service, 2)
    assert bench.rig.counts.sessions.count("lost") == 1


async def test_what_ended_elsewhere_is_not_lost(bench: Bench, replicas: list[SessionService]) -> None:
    """Closed, forgotten and opened again: no steps were lost."""
    one, two = replicas[:2]
    await one.create(opened(MODEL, id="a"))
    await feed(one, 1)
    await two.close("a")
    bench.clock.now += LIMITS.session_tombstone_s + 1
    await two.sweep()
    with pytest.raises(UnknownSession):
        await feed(one, 2)
    await two.create(opened(MODEL, id="a"))
    await feed(two, 1)
    await feed(one, 2)
    assert "lost" not in bench.rig.counts.sessions
