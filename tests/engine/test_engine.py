"""The engine around an executor that adds: admission, delivery, aborts, deadlines, death."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from app.core.errors import DeadlineExceeded, Draining, EngineDead, Overloaded, RunFailed
from app.core.plan import Batch
from app.core.sequence import (
    Failed,
    Feedback,
    Finished,
    FinishReason,
    Outputs,
    Read,
    Sampling,
    SequenceRequest,
    Tokens,
)
from app.engine.load import QueueLimits, SchedulerLimits, TickStats
from tests.engine.driving import StartEngine, drain, numbers, soon
from tests.fakes import SumExecutor


async def test_supplied_then_fed_back_steps_arrive_in_order(start: StartEngine) -> None:
    """Reads come first, then tokens, then one terminal event with the usage."""
    engine = start(SumExecutor())
    request = SequenceRequest(numbers(1, 2, 3), Read.ALL, Feedback(2, Sampling()))
    events = [event for _, event in await drain(engine.submit([request], soon()))]
    reads = np.concatenate([event.values[0] for event in events if isinstance(event, Outputs)])
    assert reads.tolist() == [1, 3, 6]
    assert [token.id for event in events if isinstance(event, Tokens) for token in event.tokens] == [6, 12]
    last = events[-1]
    assert isinstance(last, Finished)
    assert (last.reason, last.usage.supplied, last.usage.produced) == (FinishReason.LENGTH, 3, 2)


@pytest.mark.parametrize(
    ("feedback", "produced", "reason"),
    [
        (Feedback(3, Sampling()), [2, 12, 24], FinishReason.LENGTH),
        (Feedback(1, Sampling()), [2], FinishReason.LENGTH),
        (Feedback(3, Sampling(), end_tokens=frozenset([2])), [], FinishReason.END),
        (Feedback(3, Sampling(), stop=lambda token: token == 2), [2], FinishReason.STOP),
    ],
)
async def test_a_sequence_may_start_from_logits(
    start: StartEngine, feedback: Feedback, produced: list[int], reason: FinishReason
) -> None:
    """Its first token is drawn from them, counts as any other, and takes no step of the network."""
    engine = start(executor := SumExecutor())
    logits = np.array([0, 1, 5, 2], np.float32)
    request = SequenceRequest(numbers(), feedback=feedback, start=numbers(10), first_logits=logits)
    events = [event for _, event in await drain(engine.submit([request], soon()))]
    assert [token.id for event in events if isinstance(event, Tokens) for token in event.tokens] == produced
    last = events[-1]
    assert isinstance(last, Finished)
    assert (last.reason, last.usage.supplied, last.usage.produced) == (reason, 0, len(produced))
    assert sum(batch.length for batch in executor.batches) == max(0, len(produced) - 1)
    assert (engine.load().steps, engine.load().sequences) == (0, 0)


async def test_sequences_submitted_together_are_told_apart(start: StartEngine) -> None:
    """Each of a hundred sequences over eight slots gets its own sum and one terminal event."""
    engine = start(SumExecutor())
    requests = [SequenceRequest(numbers(*range(n + 1)), Read.LAST) for n in range(100)]
    events = await drain(engine.submit(requests, soon()), 100)
    sums = {index: event.values[0][0] for index, event in events if isinstance(event, Outputs)}
    assert sums == {n: n * (n + 1) / 2 for n in range(100)}
    assert sorted(index for index, event in events if isinstance(event, Finished)) == list(range(100))
    assert (engine.load().steps, engine.load().sequences) == (0, 0)


async def test_a_full_queue_refuses_all_or_none(start: StartEngine) -> None:
    """A submission that does not fit leaves the queue as it was and says when to come back."""
    gate = threading.Event()
    engine = start(SumExecutor(gate=gate), QueueLimits(max_steps=10, max_sequences=3))
    first = engine.submit([SequenceRequest(numbers(1, 2, 3), Read.LAST)], soon())
    with pytest.raises(Overloaded) as caught:
        engine.submit([SequenceRequest(numbers(1)), SequenceRequest(numbers(*range(7)))], soon())
    assert caught.value.retry_after_s is not None
    with pytest.raises(Overloaded):
        engine.submit([SequenceRequest(numbers(1)) for _ in range(3)], soon())
    assert engine.load().sequences == 1
    gate.set()
    await drain(first)
    await drain(engine.submit([SequenceRequest(numbers(*range(7)))], soon()))


async def test_a_cancelled_sequence_leaves_and_its_neighbour_does_not_notice(start: StartEngine) -> None:
    """After a cancel the slot is free, nothing more is delivered, and the other sum is right."""
    executor = SumExecutor()
    engine = start(executor)
    gone = engine.submit([SequenceRequest(numbers(1), feedback=Feedback(10**5, Sampling()))], soon())
    await gone.events()
    stays = engine.submit([SequenceRequest(numbers(*range(500)), Read.LAST)], soon())
    gone.cancel()
    events = await drain(stays)
    assert [event.values[0][0] for _, event in events if isinstance(event, Outputs)] == [sum(range(500))]
    while engine.load().sequences:
        await asyncio.sleep(0.001)
    assert executor.lanes == {}


async def test_a_deadline_ends_a_running_sequence(start: StartEngine) -> None:
    """A generation that cannot finish in time fails with DeadlineExceeded and frees its row."""
    executor = SumExecutor()
    engine = start(executor)
    request = SequenceRequest(numbers(1), feedback=Feedback(10**5, Sampling()))
    events = await drain(engine.submit([request], soon(0.05)))
    last = events[-1][1]
    assert isinstance(last, Failed)
    assert isinstance(last.error, DeadlineExceeded)
    assert executor.lanes == {}


async def test_a_failed_run_fails_only_its_own_rows(start: StartEngine) -> None:
    """The poisoned length fails; the sequence of another length in the same tick does not."""

    def poison(batch: Batch) -> None:
        if batch.length == 5:
            raise RunFailed("poison")

    engine = start(SumExecutor(fail_on=poison))
    requests = [
        SequenceRequest(numbers(*range(5)), Read.LAST),
        SequenceRequest(numbers(*range(16)), Read.LAST),
    ]
    events = await drain(engine.submit(requests, soon()), 2)
    terminal = {index: event for index, event in events if isinstance(event, Finished | Failed)}
    assert isinstance(terminal[0], Failed)
    assert isinstance(terminal[1], Finished)
    assert engine.alive


async def test_the_death_of_the_engine_fails_every_waiter(start: StartEngine) -> None:
    """A bug in the executor ends the engine: running and queued sequences fail, new ones are refused."""

    def bug(batch: Batch) -> None:
        raise ValueError("a bug")

    engine = start(SumExecutor(fail_on=bug), limits=SchedulerLimits(num_slots=1))
    ticket = engine.submit([SequenceRequest(numbers(1)), SequenceRequest(numbers(2))], soon())
    events = await drain(ticket, 2)
    assert all(isinstance(event, Failed) and isinstance(event.error, EngineDead) for _, event in events)
    while engine.alive:
        await asyncio.sleep(0.001)
    with pytest.raises(EngineDead):
        engine.submit([SequenceRequest(numbers(1))], soon())


async def test_draining_finishes_what_runs_and_refuses_what_comes(start_thread: StartEngine) -> None:
    """Drain waits for queued work; meanwhile a submission is refused."""
    gate = threading.Event()
    engine = start_thread(SumExecutor(gate=gate))
    ticket = engine.submit([SequenceRequest(numbers(4, 5), Read.LAST)], soon())
    draining = asyncio.create_task(engine.drain(5.0))
    await asyncio.sleep(0)
    with pytest.raises(Draining):
        engine.submit([SequenceRequest(numbers(1))], soon())
    gate.set()
    assert await draining
    assert isinstance((await drain(ticket))[-1][1], Finished)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "other-thread"])
async def test_closing_fails_what_is_left(start: StartEngine, elsewhere: bool) -> None:
    """A sequence that is still running when the engine closes gets its terminal event."""
    engine = start(SumExecutor())
    ticket = engine.submit([SequenceRequest(numbers(1), feedback=Feedback(10**5, Sampling()))], soon(60))
    await ticket.events()
    if elsewhere:
        await asyncio.to_thread(engine.close)
    else:
        engine.close()
    last = (await drain(ticket))[-1][1]
    assert isinstance(last, Failed)
    assert isinstance(last.error, Draining)
    assert not engine.alive


async def test_a_hung_run_does_not_hang_its_reader(
    start_thread: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a run never returns, the reader gives up shortly after the deadline by itself."""
    monkeypatch.setattr("app.engine.engine._GRACE_S", 0.05)
    gate = threading.Event()
    engine = start_thread(SumExecutor(gate=gate))
    ticket = engine.submit([SequenceRequest(numbers(1))], soon(0.05))
    with pytest.raises(DeadlineExceeded):
        await ticket.events()
    gate.set()


async def test_waking_ends_a_wait_with_nothing(start: StartEngine) -> None:
    """A reader that is woken gets an empty list, and the later events all the same."""
    gate = threading.Event()
    engine = start(SumExecutor(gate=gate))
    ticket = engine.submit([SequenceRequest(numbers(1), Read.LAST)], soon())
    ticket.wake()
    assert await ticket.events() == []
    gate.set()
    assert isinstance((await drain(ticket))[-1][1], Finished)


async def test_ticks_are_reported_with_their_size(start: StartEngine) -> None:
    """Steps reported over all ticks are the steps taken, and the queue is empty at the end."""
    ticks: list[TickStats] = []
    engine = start(SumExecutor(), observe=ticks.append)
    await drain(engine.submit([SequenceRequest(numbers(*range(n))) for n in (3, 8, 21)], soon()), 3)
    engine.close()
    assert sum(tick.steps for tick in ticks) == 32
    assert (ticks[-1].waiting_steps, ticks[-1].slots_used) == (0, 0)
