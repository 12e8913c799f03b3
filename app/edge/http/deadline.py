"""A deadline that is moved with each request, on a timer that is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """One timer that looks when it is due, and goes on: setting one for each request would cost more."""

    __slots__ = ("_act", "_loop", "_timer", "_timer_due", "due")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._act: Callable[[], object] | None = None
        self.due: float | None = None

    def set(self, seconds: float, act: Callable[[], object]) -> None:
        self.due, self._act = self._loop.time() + seconds, act
        if self._timer is None or self.due < self._timer_due:
            self._set_timer(self.due)

    def clear(self) -> None:
        self.due = self._act = None

    def end(self) -> None:
        """Do nothing any more, and know nothing."""
        self.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_due = self._loop.call_at(due, self._look), due

    def _look(self) -> None:
        self._timer = None
        due, act = self.due, self._act
        if due is None or act is None:
            return
        if due > self._timer_due:
            self._set_timer(due)
        else:
            self.clear()
            act()
