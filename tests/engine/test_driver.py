"""Turns on the event loop, one a pass while there is work; and on threads that come and go."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque

import pytest

from app.engine.driver import LoopDriver, ThreadDriver


class Turns:
    """Counts turns, of which so many are left; the driver ends when :attr:`last` is set."""

    def __init__(self, left: int = 0) -> None:
        self.left = left
        self.taken = 0
        self.last = False
        self.driver = LoopDriver(self.turn, lambda: self.left > 0)

    def turn(self) -> bool:
        """One turn."""
        self.taken += 1
        self.left -= 1
        return not self.last

    async def start(self) -> None:
        """On this loop."""
        self.driver.start(asyncio.get_running_loop())


async def test_others_have_their_turn_between_two() -> None:
    """However often it is woken there is one turn a pass, and none when nothing is left to do."""
    turns = Turns(left=5)
    await turns.start()
    seen: list[int] = []
    for _ in range(8):
        if turns.left > 0:
            turns.driver.wake()
            turns.driver.wake()
        await asyncio.sleep(0)
        seen.append(turns.taken)
    assert seen == [1, 2, 3, 4, 5, 5, 5, 5]
    turns.driver.wake()
    await asyncio.sleep(0)
    assert turns.taken == 6


async def test_nothing_is_done_before_it_starts() -> None:
    """Nor does anybody wait for an end that cannot come."""
    turns = Turns(left=1)
    assert not turns.driver.running
    turns.driver.wake()
    turns.driver.join(60)
    await asyncio.sleep(0)
    assert turns.taken == 0


@pytest.mark.parametrize("elsewhere", [False, True], ids=["loop", "other-thread"])
async def test_the_last_turn_is_taken_once(elsewhere: bool) -> None:
    """On the loop's thread at once; on another one it is waited for, while the loop goes on."""
    turns = Turns(left=100)
    await turns.start()
    turns.driver.wake()
    assert turns.driver.running
    turns.last = True
    if elsewhere:
        await asyncio.to_thread(turns.driver.join, 10)
    else:
        turns.driver.join(10)
    assert (turns.taken, turns.driver.running) == (1, False)
    turns.driver.wake()
    turns.driver.join(60)
    await asyncio.sleep(0)
    assert turns.taken == 1


def test_a_loop_that_is_closed_takes_no_turn() -> None:
    """And nobody waits for one."""
    turns = Turns()
    asyncio.run(turns.start())
    assert turns.driver.running
    asyncio.run(asyncio.to_thread(turns.driver.join, 60))
    assert turns.taken == 0


class Errands:
    """Work for a driver with a thread, which ends when it has been idle for ``idle_s``."""

    def __init__(self, idle_s: float) -> None:
        self.waiting: deque[threading.Event] = deque()
        self.threads: set[threading.Thread] = set()
        self.last = False
        self.driver = ThreadDriver(self.turn, lambda: bool(self.waiting), "errands", idle_s)

    def turn(self) -> bool:
        """Does all that waits."""
        self.threads.add(threading.current_thread())
        while self.waiting:
            self.waiting.popleft().set()
        return not self.last

    def run(self) -> bool:
        """Whether an errand is done."""
        done = threading.Event()
        self.waiting.append(done)
        self.driver.wake()
        return done.wait(30)

    def rest(self) -> None:
        """Wait until no thread is left."""
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()


async def test_an_idle_thread_ends_and_work_starts_another() -> None:
    """The driver runs all the while, and takes its last turn without one being there."""
    errands = Errands(idle_s=0.01)
    errands.driver.start(asyncio.get_running_loop())
    assert await asyncio.to_thread(errands.run)
    await asyncio.to_thread(errands.rest)
    assert errands.driver.running
    assert await asyncio.to_thread(errands.run)
    await asyncio.to_thread(errands.rest)
    errands.last = True
    await asyncio.to_thread(errands.driver.join, 30)
    assert not errands.driver.running
    assert len(errands.threads) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
async def test_a_thread_may_come_behind_others() -> None:
    """It alone, whatever the priority of the process is."""
    found: list[int] = []

    def turn() -> bool:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return False

    own = os.getpriority(os.PRIO_PROCESS, 0)
    driver = ThreadDriver(turn, bool, "behind", nice=7)
    driver.start(asyncio.get_running_loop())
    await asyncio.to_thread(driver.join, 30)
    assert found == [min(own + 7, 19)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_no_wake_up_is_lost_while_threads_come_and_go() -> None:
    """Nor do two of them turn at once: each errand is done, whenever it comes."""
    errands = Errands(idle_s=0.0)
    loop = asyncio.new_event_loop()
    errands.driver.start(loop)
    assert all(errands.run() for _ in range(2000))
    errands.last = True
    errands.driver.join(30)
    assert not errands.driver.running
    loop.close()
