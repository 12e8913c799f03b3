"""Deliveries from the engine's thread to the loop: none is left lying, and a job's own are in order."""

from __future__ import annotations

import asyncio
import inspect
import sys
from itertools import count
from types import FrameType
from typing import Any, cast

import numpy as np

from app.core.sequence import Event, Finished, FinishReason, SequenceRequest, Usage
from app.engine.handover import Outbox
from app.engine.sequence_job import SequenceEvent, SequenceJob, TokenDelivery
from app.engine.ticket import EngineTicket

END = Finished(FinishReason.LENGTH, Usage())


class Seen:
    """A ticket that notes what it gets."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def put(self, index: int, event: Event) -> None:
        """Note an event."""
        self.events.append(event)

    def put_token(self, index: int, token: int) -> None:
        """Note a token."""
        self.events.append(token)

    def wake_reader(self) -> None:
        """Nobody reads."""


def job_of(seen: Seen) -> SequenceJob:
    """A job whose events go to ``seen``."""
    return SequenceJob(0, SequenceRequest(np.zeros(1)), 0.0, 0.0, cast(EngineTicket, seen))


def end_of(seen: Seen) -> SequenceEvent:
    """The end of such a job."""
    return SequenceEvent(job_of(seen), END, held=True)


async def interrupted_at(line: int) -> tuple[list[Any], list[Any], bool]:
    """The end of a job is published, and that of the last job just before a line of the delivery runs.

    Returns:
        What each of the two has got, and whether there is such a line.
    """
    outbox = Outbox()
    outbox.open(asyncio.get_running_loop())
    first, last = Seen(), Seen()
    lines = count()
    met = False

    def publish(seen: Seen) -> None:
        outbox.put(end_of(seen))
        outbox.publish()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal met
        if frame.f_code.co_filename != inspect.getsourcefile(Outbox):
            return None
        if event == "line" and next(lines) == line:
            sys.settrace(None)
            met = True
            publish(last)
        return trace

    publish(first)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        await asyncio.sleep(0)
    finally:
        sys.settrace(before)
    for _ in range(3):
        await asyncio.sleep(0)
    return first.events, last.events, met


async def test_the_last_delivery_is_not_left_lying() -> None:
    """Wherever the loop is when it comes: nothing follows that would bring it along."""
    for line in range(100):
        first, last, met = await interrupted_at(line)
        if not met:
            break
        assert (line, first, last) == (line, [END], [END])
    assert 5 < line < 100


async def test_a_job_begins_before_it_ends_and_first_tokens_overtake() -> None:
    """Held tokens and ends wait for their time; what somebody waits for does not."""
    outbox = Outbox()
    outbox.open(asyncio.get_running_loop())
    old, new = Seen(), Seen()
    outbox.publish(1.0)
    outbox.put(TokenDelivery([job_of(old)], [7], held=True))
    outbox.pace(1)
    outbox.put(TokenDelivery([job_of(new)], [1]))
    outbox.put(end_of(new))
    outbox.publish(1.0001)
    await asyncio.sleep(0)
    assert (old.events, new.events) == ([], [1])
    outbox.publish(1.1)
    await asyncio.sleep(0)
    assert (old.events, new.events) == ([7], [1, END])
    brief = Seen()
    outbox.put(TokenDelivery([job_of(brief)], [3]))
    outbox.put(end_of(brief))
    outbox.publish()
    await asyncio.sleep(0)
    assert brief.events == [3, END]


async def test_on_the_loop_nothing_needs_to_be_woken() -> None:
    """What is published there is delivered at once."""
    outbox = Outbox(on_loop=True)
    outbox.open(asyncio.get_running_loop())
    seen = Seen()
    outbox.put(end_of(seen))
    outbox.publish()
    assert len(seen.events) == 1
