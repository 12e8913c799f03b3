"""Turns on the event loop: one a pass while there is work, none without, and a last one."""

from __future__ import annotations

import asyncio

import pytest

from app.engine.driver import LoopDriver


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
