"""Which calls go to the store together."""

from __future__ import annotations

import asyncio

from app.sessions.stores.backlog import Backlog, Waiting
from app.sessions.stores.store import Stored, Write


def write(*ids: str) -> Waiting:
    """A call that changes these."""
    writes = [Write(id, 0, Stored(1, 1.0, b"")) for id in ids]
    return Waiting(asyncio.Future(), "write", writes, len(ids), frozenset(ids))


def get(*ids: str) -> Waiting:
    """A call that reads these."""
    return Waiting(asyncio.Future(), "get", ids, len(ids))


def backlog_of(*items: Waiting) -> Backlog:
    """A backlog in which these wait."""
    backlog = Backlog(max_group=4)
    for item in items:
        backlog.add(item)
    return backlog


async def test_a_session_is_in_a_group_once_and_its_changes_keep_their_order() -> None:
    """What waits for an earlier change of one of its sessions holds later changes of its others back too."""
    first, second, third, other = write("a"), write("a", "b"), write("b"), write("c")
    backlog = backlog_of(first, second, third, other)
    assert [backlog.take() for _ in range(4)] == [[[first, other]], [[second]], [[third]], []]


async def test_a_call_is_not_divided() -> None:
    """It goes with the next group when this one cannot hold it, and alone when none can."""
    for kind in (write, get):
        small, large, huge, last = kind("a"), kind("b", "c", "d", "e"), kind(*"fghijk"), kind("l")
        backlog = backlog_of(small, large, huge, last)
        assert [backlog.take() for _ in range(3)] == [[[small, last]], [[large]], [[huge]]]


async def test_a_backlog_is_empty_when_everything_was_taken() -> None:
    """Kinds are taken apart from each other, other calls one by one; giving up takes all of them."""
    calls = [Waiting(asyncio.Future(), method, ()) for method in ("count", "due")]
    one, other = write("a"), get("a")
    backlog = backlog_of(calls[0], one, other, calls[1])
    assert backlog.take() == [[one], [other], [calls[0]]]
    assert (bool(backlog), backlog.take(), bool(backlog)) == (True, [[calls[1]]], False)
    backlog = backlog_of(one, other, *calls)
    assert len(backlog.take_all()) == 4
    assert not backlog
