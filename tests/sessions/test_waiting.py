"""Which hand-ins go to the store together."""

from __future__ import annotations

import asyncio
from typing import Any

from app.sessions.stored import Stored, Write
from app.sessions.stores.waiting import Waiting, WaitingCall, WaitingGet, WaitingRoom, WaitingWrite


def write(*ids: str) -> WaitingWrite:
    """A hand-in of changes."""
    writes = [Write(id, 0, Stored(1, 1.0, b"")) for id in ids]
    return WaitingWrite(asyncio.Future(), len(ids), writes, frozenset(ids))


def get(*ids: str) -> WaitingGet:
    """A hand-in of reads."""
    return WaitingGet(asyncio.Future(), len(ids), ids)


def room_with(*items: Waiting[Any], max_group: int = 4) -> WaitingRoom:
    """A room in which these wait."""
    room = WaitingRoom(max_group)
    for item in items:
        room.add(item)
    return room


async def test_a_session_is_in_a_group_once_and_its_changes_keep_their_order() -> None:
    """What waits for an earlier change of one of its sessions holds later changes of its others back too."""
    first, second, third, other = write("a"), write("a", "b"), write("b"), write("c")
    room = room_with(first, second, third, other)
    assert [room.take_writes() for _ in range(4)] == [[first, other], [second], [third], []]


async def test_a_hand_in_is_not_divided() -> None:
    """It goes with the next group when this one cannot hold it, and alone when none can."""
    small, large, huge, last = write("a"), write("b", "c", "d", "e"), write(*"fghijk"), write("l")
    room = room_with(small, large, huge, last)
    assert [room.take_writes() for _ in range(3)] == [[small, last], [large], [huge]]
    reads = [get("a"), get("a", "b", "c", "d"), get(*"abcdef"), get("a")]
    room = room_with(*reads)
    assert [room.take_gets() for _ in range(5)] == [[reads[0]], [reads[1]], [reads[2]], [reads[3]], []]


async def test_a_room_is_empty_when_everything_was_taken() -> None:
    """Kinds are taken apart from each other; giving up takes all of them."""
    call = WaitingCall(asyncio.Future(), 1, "count", int)
    room = room_with(write("a"), get("a"), call)
    assert (room.take_call(), room.take_call(), bool(room)) == (call, None, True)
    assert len(room.take_all()) == 2
    assert not room
