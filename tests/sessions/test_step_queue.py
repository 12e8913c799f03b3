"""Calls of many callers become batches: order, coalescing, bounds and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.core.errors import Draining, Overloaded, StoreUnavailable
from app.sessions.steps import queue as step_queue
from app.sessions.steps.calls import SessionQueue, StepCall
from app.sessions.steps.queue import MAX_BATCHES, StepQueue


class Batches:
    """Applies every call of each queue, and notes the batches; a gate can hold them."""

    def __init__(self) -> None:
        self.seen: list[dict[str, list[int | None]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = 0
        self.most = 0

    async def apply(self, queues: Sequence[SessionQueue]) -> None:
        """One batch."""
        taken: dict[str, list[int | None]] = {}
        for each in queues:
            while (pending := each.first()) is not None:
                taken.setdefault(each.key, []).append(pending.call.seq)
                each.running.append(each.waiting.popleft())
        self.seen.append(taken)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        for each in queues:
            each.finish([b"%d" % (pending.call.seq or 0) for pending in each.running])


def calls(id: str, *seqs: int) -> list[StepCall]:
    """Calls on one session."""
    return [StepCall(id, None, seq) for seq in seqs]


async def test_what_arrives_together_is_one_batch() -> None:
    """Whoever sends it; owners of one id are different sessions."""
    batches = Batches()
    queue = StepQueue(batches.apply)
    one, two, three = await asyncio.gather(
        queue.steps(calls("a", 1, 2), ""), queue.steps(calls("b", 7), ""), queue.steps(calls("a", 5), "key")
    )
    assert (one, two, three) == ([b"1", b"2"], [b"7"], [b"5"])
    assert batches.seen == [{"a": [1, 2], "b": [7], "key/a": [5]}]
    assert await queue.steps([], "") == []


async def test_a_session_is_in_one_batch_at_a_time_and_keeps_its_order() -> None:
    """What comes while its batch runs is the next batch's, while others go ahead."""
    batches = Batches()
    queue = StepQueue(batches.apply)
    batches.gate.clear()
    tasks = [asyncio.create_task(queue.steps(calls("a", 1), ""))]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(queue.steps(calls("a", 2), "")) for _ in range(2)]
    tasks += [asyncio.create_task(queue.steps(calls("b", 1), ""))]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(queue.steps(calls("c", 1), ""))]
    await asyncio.sleep(0.01)
    assert batches.seen == [{"a": [1]}, {"b": [1]}]
    batches.gate.set()
    await asyncio.gather(*tasks)
    assert batches.most == MAX_BATCHES
    assert [seq for one in batches.seen for seq in one.get("a", ())] == [1, 2, 2]
    assert {"a", "b", "c"} == {key for one in batches.seen for key in one}


async def test_a_batch_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is the next batch, in the order of arrival."""
    monkeypatch.setattr(step_queue, "MAX_SESSIONS", 2)
    batches = Batches()
    queue = StepQueue(batches.apply)
    many = [StepCall(id, None, 1) for id in "abcde"]
    assert await queue.steps(many, "") == [b"1"] * 5
    assert [list(one) for one in batches.seen] == [["a", "b"], ["c", "d"], ["e"]]


async def test_calls_that_nobody_waits_for_are_passed_over() -> None:
    """A caller that goes takes its waiting calls along, and no one else's."""
    batches = Batches()
    queue = StepQueue(batches.apply)
    batches.gate.clear()
    first = asyncio.create_task(queue.steps(calls("a", 1), ""))
    await asyncio.sleep(0.01)
    gone = asyncio.create_task(queue.steps(calls("a", 2), ""))
    stays = asyncio.create_task(queue.steps(calls("a", 3), ""))
    await asyncio.sleep(0.01)
    gone.cancel()
    batches.gate.set()
    assert await first == [b"1"]
    assert await stays == [b"3"]
    assert [one["a"] for one in batches.seen] == [[1], [3]]
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_too_many_waiting_calls_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A submission by itself is always taken, whatever its size."""
    monkeypatch.setattr(step_queue, "MAX_WAITING", 3)
    batches = Batches()
    queue = StepQueue(batches.apply)
    batches.gate.clear()
    large = asyncio.create_task(queue.steps(calls("a", 1, 2, 3, 4), ""))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await queue.steps(calls("b", 1), "")
    batches.gate.set()
    assert len(await large) == 4
    assert await queue.steps(calls("b", 1), "") == [b"1"]


async def test_a_batch_that_fails_fails_its_calls_only() -> None:
    """Errors of ours are outcomes; a bug is raised at the callers. The queue goes on."""
    errors: list[Exception] = [StoreUnavailable("away"), RuntimeError("bug")]
    good = Batches()

    async def apply(queues: Sequence[SessionQueue]) -> None:
        if errors:
            raise errors.pop(0)
        await good.apply(queues)

    queue = StepQueue(apply)
    (outcome,) = await queue.steps(calls("a", 1), "")
    assert isinstance(outcome, StoreUnavailable)
    with pytest.raises(RuntimeError, match="bug"):
        await queue.steps(calls("a", 1), "")
    assert await queue.steps(calls("a", 1), "") == [b"1"]


async def test_closing_ends_every_call() -> None:
    """Running and waiting ones are told, later ones refused, and no task is left."""
    batches = Batches()
    queue = StepQueue(batches.apply)
    batches.gate.clear()
    tasks = [asyncio.create_task(queue.steps(calls("a", seq), "")) for seq in (1, 2)]
    await asyncio.sleep(0.01)
    tasks.append(asyncio.create_task(queue.steps(calls("a", 3), "")))
    await asyncio.sleep(0.01)
    before = asyncio.all_tasks()
    await queue.close()
    for (outcome,) in await asyncio.gather(*tasks):
        assert isinstance(outcome, Draining)
    with pytest.raises(Draining):
        await queue.steps(calls("a", 4), "")
    assert len(asyncio.all_tasks()) < len(before)
