"""What makes an engine turn: a thread of its own, or the event loop itself.

Both take ``turn``, one pass of the engine, which does not raise and is false when it was the last, and
``has_work``, whether a further turn would do anything.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import sys
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)

# An idle thread ends after this long; starting another one takes a tenth of a millisecond.
_IDLE_S = 10.0
# Measured with 64 streams and with 64 connections: 0.5 ms lets engines wait, 0.02 ms interrupts too often.
SWITCH_INTERVAL_S = 1e-4
# Linux ends a timed wait late by as much as this, fifty microseconds unless told otherwise.
TIMER_SLACK_NS = 1000
_PR_SET_TIMERSLACK = 29


class ThreadDriver:
    """A thread that ends when there has been nothing to do for a while; further work starts another.

    ``nice``: by how much it comes behind other threads where these want all of the cores.
    """

    def __init__(
        self,
        turn: Callable[[], bool],
        has_work: Callable[[], bool],
        name: str,
        idle_s: float = _IDLE_S,
        nice: int = 0,
    ) -> None:
        self._turn = turn
        self._nice = nice
        self._has_work = has_work
        self._name = name
        self._idle_s = idle_s
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._parked = False  # started, and without a thread
        self.running = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.running = self._parked = True
        self._unpark()

    def wake(self) -> None:
        if not self._woken.is_set():
            self._woken.set()
            if self._parked:
                self._unpark()

    def join(self, timeout_s: float) -> None:
        self._woken.set()
        self._unpark()
        if self._thread is not None:
            self._thread.join(timeout_s)
        if not self.running:
            self._turn = self._has_work = bool  # see LoopDriver

    def _unpark(self) -> None:
        with self._lock:
            if self._parked:
                self._parked = False
                self._thread = threading.Thread(target=self._main, name=self._name, daemon=True)
                self._thread.start()

    def _main(self) -> None:
        if self._nice and sys.platform == "linux":  # there it is this thread's, elsewhere the process's
            os.nice(self._nice)
        while self._turn():
            if not self._has_work():
                if not self._woken.wait(self._idle_s) and self._park():
                    return
                # Cleared before the turn: what is handed in from here on wakes it once more.
                self._woken.clear()
        self.running = False

    def _park(self) -> bool:
        """Whether the thread may end. Who wakes it sets the event first, so one of the two sees the other."""
        with self._lock:
            self._parked = True
            self._parked = not self._woken.is_set()
            return self._parked


class LoopDriver:
    """Turns once in each pass of the loop while the engine has work, so others wait for one tick at most."""

    def __init__(self, turn: Callable[[], bool], has_work: Callable[[], bool]) -> None:
        self._turn = turn
        self._has_work = has_work
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id = 0
        self._scheduled = False
        self._ended = threading.Event()

    @property
    def running(self) -> bool:
        return self._loop is not None and not self._ended.is_set()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._thread_id = loop, threading.get_ident()

    def wake(self) -> None:
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
        if self._ended.is_set():
            return
        self._scheduled = True  # so that what the turn itself hands in wakes nobody
        goes_on = self._turn()
        self._scheduled = False
        if not goes_on:
            self._ended.set()
            self._let_go()
        elif self._has_work():
            self.wake()

    def _let_go(self) -> None:
        """Hold the engine no longer: a cycle would keep its weights until the garbage collector comes by."""
        self._turn = self._has_work = bool


def share_interpreter() -> None:
    """Let a busy event loop leave the interpreter to the engines' threads often enough, in this process.

    A thread asks for the interpreter's lock only after the switch interval, which begins anew at each system
    call of the loop: short pieces starve it. Call this before threads start: they inherit the timer slack.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if sys.platform == "linux":
        try:
            refused = ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0)
        except (OSError, AttributeError):
            refused = -1
        if refused:
            logger.debug("the timer slack cannot be set here; steps beside a busy loop come less often")
