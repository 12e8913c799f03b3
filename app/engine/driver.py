"""What makes an engine turn: a thread of its own, or the event loop itself.

A thread lets the loop go on while a graph runs, and costs a hand-over each way. Where every core has a
process of its own there is nothing to go on beside, so the loop turns the engine between its callbacks.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Protocol

# The longest an idle thread sleeps; it is woken by commands, so this only bounds the wait.
_IDLE_WAIT_S = 1.0

Turn = Callable[[float], bool]
"""One pass of the engine, which waits so many seconds for work if it has none; false when it was the last."""


class Driver(Protocol):
    """Calls an engine's turn for as long as it says so."""

    @property
    def running(self) -> bool:
        """Whether there will be further turns."""
        ...

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; called once, on the loop."""
        ...

    def wake(self) -> None:
        """There is something to do; called on the loop."""
        ...

    def join(self, timeout_s: float) -> None:
        """Wait for the last turn, which the engine has been told of; on any thread."""
        ...


class ThreadDriver:
    """Turns on a thread of its own. The engine's intake wakes it.

    Args:
        turn: see there; it does not raise.
        name: of the thread.
    """

    def __init__(self, turn: Turn, name: str) -> None:
        self._turn = turn
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        return self._thread.is_alive()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Nothing: whoever puts a command into the intake has woken the thread."""

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._turn = _no_turn

    def _main(self) -> None:
        while self._turn(_IDLE_WAIT_S):
            pass


class LoopDriver:
    """Turns on the event loop, once in each of its passes while the engine has work.

    What arrived meanwhile, and what became ready, has its callbacks run between two turns, so the longest
    that others wait is one tick.

    Args:
        turn: see there; it does not raise, and never waits here.
        has_work: whether another turn would do anything.
    """

    def __init__(self, turn: Turn, has_work: Callable[[], bool]) -> None:
        self._turn = turn
        self._has_work = has_work
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id = 0
        self._scheduled = False
        self._ended = threading.Event()

    @property
    def running(self) -> bool:
        """Whether the last turn has not been taken."""
        return self._loop is not None and not self._ended.is_set()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Turn on this loop."""
        self._loop, self._thread_id = loop, threading.get_ident()

    def wake(self) -> None:
        """Have a turn taken in the loop's next pass."""
        if not self._scheduled and self._loop is not None:
            self._scheduled = True
            self._loop.call_soon(self._pass)

    def join(self, timeout_s: float) -> None:
        """Take the last turn here if this is the loop's thread, and wait for it otherwise."""
        if self._loop is None:
            self._let_go()
            return
        if threading.get_ident() == self._thread_id:
            self._pass()
            return
        try:
            self._loop.call_soon_threadsafe(self._pass)
        except RuntimeError:  # the loop is closed, so there are no turns any more
            self._let_go()
            return
        self._ended.wait(timeout_s)

    def _pass(self) -> None:
        self._scheduled = False
        if self._ended.is_set():
            return
        if not self._turn(0.0):
            self._ended.set()
            self._let_go()
        elif self._has_work():
            self.wake()

    def _let_go(self) -> None:
        """Hold the engine no longer: a cycle would keep its weights until the garbage collector comes by."""
        self._turn, self._has_work = _no_turn, _no_work


def _no_turn(wait_s: float) -> bool:
    return False


def _no_work() -> bool:
    return False
