"""Several processes on one port: whoever has more connections gives way to the others, and loses none."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from app.edge.http import server
from app.workers import Board
from tests.edge.running import Line, Running

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"


async def test_a_worker_whose_heart_beats_and_that_has_fewer_is_noticed() -> None:
    """One that has not been heard of, or not for a while, is not waited for."""
    board = Board(3)
    assert not board.ahead(0, 9)
    board.beat(1)
    assert [board.ahead(0, num) for num in (0, 1, 2)] == [False, True, True]
    assert not board.ahead(1, 2)
    assert [board.ahead(0, num) for num in (2, 3)] == [False, True]
    board._numbers[1] = time.monotonic() - 60
    assert not board.ahead(0, 3)


async def test_another_process_may_take_a_connection_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """While this one gives way; what comes after that is answered here."""
    monkeypatch.setattr(server, "_GIVE_WAY_S", 0.2)
    more = True
    async with Running(ahead=lambda num_open: more) as running, Line(running.port) as line:
        other = running.listener.dup()
        line.send(HEALTH)
        taken = await accepted(other)
        assert await asyncio.get_running_loop().sock_recv(taken, 1000) == HEALTH
        more = False
        async with Line(running.port) as next_line:
            next_line.send(HEALTH)
            assert (await next_line.answer())[0] == b"HTTP/1.1 200 OK"
        taken.close()
        other.close()


async def test_what_nobody_else_takes_is_answered_all_the_same() -> None:
    """A process that has more takes it a moment later; it is told how many it has taken."""
    told: list[int] = []

    def ahead(num_open: int) -> bool:
        told.append(num_open)
        return True

    async with Running(ahead=ahead) as running:
        async with Line(running.port) as first:
            first.send(HEALTH)
            assert (await first.answer())[0] == b"HTTP/1.1 200 OK"
            async with Line(running.port) as second:
                second.send(HEALTH)
                assert (await second.answer())[0] == b"HTTP/1.1 200 OK"
        assert told == [0, 1]
    # Nobody listens any more.
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", running.port)


async def test_a_busy_process_waits_once_for_many() -> None:
    """Each look at the port comes late there; with one connection a look, the last of many waits for long."""
    told: list[int] = []

    def ahead(num_open: int) -> bool:
        told.append(num_open)
        return True

    async def work() -> None:
        while True:
            time.sleep(0.02)
            await asyncio.sleep(0)

    loop = asyncio.get_running_loop()
    async with Running(ahead=ahead) as running, asyncio.timeout(30):
        # All at once: nothing is awaited, so that the server sees none of them before the last.
        lines = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(40)]
        working = asyncio.create_task(work())
        for line in lines:
            line.sendall(HEALTH)
            line.setblocking(False)
        for line in lines:
            assert (await loop.sock_recv(line, 1000)).startswith(b"HTTP/1.1 200 OK")
            line.close()
        working.cancel()
    assert len(told) < 10


async def test_one_that_has_fewer_takes_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for a minute else."""
    monkeypatch.setattr(server, "_GIVE_WAY_S", 60.0)
    async with Running(ahead=lambda num_open: False) as running, Line(running.port) as line:
        line.send(HEALTH)
        assert (await line.answer())[0] == b"HTTP/1.1 200 OK"


async def accepted(listener: socket.socket) -> socket.socket:
    """A connection that somebody else has not taken."""
    async with asyncio.timeout(10):
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
    connection.setblocking(False)
    return connection
