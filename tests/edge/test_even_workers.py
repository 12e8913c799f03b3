"""Workers that accept from one port: whoever has more connections gives way for a moment to the others."""

from __future__ import annotations

import asyncio
import multiprocessing
import time

import pytest

from app.edge.http import room as module
from app.edge.http.room import Room
from app.workers import Board


async def test_one_that_moves_and_has_two_fewer_is_noticed() -> None:
    """One that has not been heard of, or not for a while, is not waited for."""
    board = Board(3)
    assert not board.connect(0, 9)
    board.beat(1)
    assert [board.connect(0, num) for num in (0, 1, 2, 3)] == [False, False, True, True]
    assert not board.connect(1, 0)
    board.connect(1, 2)
    assert [board.connect(0, num) for num in (3, 4)] == [False, True]
    board._numbers[1] = time.monotonic() - 60
    assert not board.connect(0, 4)


async def test_other_processes_see_it() -> None:
    """Numbers are shared by a worker and its copies."""
    board = Board(2)
    board.beat(1)
    worker = multiprocessing.get_context("fork").Process(target=board.connect, args=(1, 5))
    worker.start()
    await asyncio.to_thread(worker.join)
    assert [board.connect(0, num) for num in (6, 7)] == [False, True]


def test_a_process_with_more_gives_way_at_each_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """And tells of every one that comes and goes."""
    waited: list[float] = []
    monkeypatch.setattr("app.edge.http.room.time.sleep", waited.append)
    told: list[int] = []
    room = Room()
    wires = [asyncio.Transport() for _ in range(4)]
    for wire in wires[:2]:
        room.enter(wire)
    assert waited == []

    def ahead(num_open: int) -> bool:
        told.append(num_open)
        return num_open > 3

    room.ahead = ahead
    for wire in wires[2:]:
        room.enter(wire)
    for wire in wires:
        room.leave(wire)
    assert told == [3, 4, 3, 2, 1, 0]
    assert waited == [module._GIVE_WAY_S]
