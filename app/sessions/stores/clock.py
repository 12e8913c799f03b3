"""What time it is for sessions: the time of their store, which all of its servers share."""

from __future__ import annotations

import time

from app.core.errors import StoreUnavailable


class StoreClock:
    """Seconds since the epoch; raises ``StoreUnavailable`` before the store has first told its time.

    Between two times that the store tells this machine's steady clock runs on, so neither a wrong time of day
    nor a change of it ends a session.
    """

    def __init__(self) -> None:
        self._ahead: float | None = None

    def __call__(self) -> float:
        if self._ahead is None:
            raise StoreUnavailable("the session store has not answered yet", retry_after_s=1.0)
        return time.monotonic() + self._ahead

    def hear(self, told: float, asked_at: float) -> None:
        """The store told its time, between ``asked_at`` of ``time.monotonic`` and now."""
        self._ahead = told - (asked_at + time.monotonic()) / 2

    @property
    def skew_s(self) -> float:
        """Seconds that this machine's time of day is ahead of the store's."""
        return 0.0 if self._ahead is None else time.time() - self()
