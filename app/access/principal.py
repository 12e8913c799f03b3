"""Whom a request comes from, once its key is known, and what is left of its allowance."""

from __future__ import annotations

import time
from contextvars import ContextVar

from app.access.key_file import KeyDefaults, KeyEntry
from app.core.errors import RateLimited


class TokenBucket:
    """Lets ``rate`` units a second through, and ``capacity`` at once after a pause (Turner, 1986).

        level(t) = min(capacity, level + rate * (t - at));  take(n): level -= n

    An amount above the capacity passes when the bucket is full and leaves a debt, so that it is possible
    at all, and the long-run rate still holds.

    Args:
        rate: units a second, more than 0.
        capacity: units at once, more than 0.
        now: seconds on any clock that never goes back; the bucket begins full.
    """

    __slots__ = ("_at", "_level", "capacity", "rate")

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self.rate = rate
        self.capacity = capacity
        self._level = capacity
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """Take ``amount`` units and return 0, or else the seconds after which they could be taken."""
        level = self._level + self.rate * (now - self._at)
        if level > self.capacity:
            level = self.capacity
        self._at, self._level = now, level
        missing = min(amount, self.capacity) - level
        if missing <= 0:
            self._level = level - amount
            return 0.0
        return missing / self.rate

    def change(self, rate: float, capacity: float, now: float) -> None:
        """Go on with other limits; what was taken stays taken."""
        taken = self.capacity - min(self.capacity, self._level + self.rate * (now - self._at))
        self.rate, self.capacity = rate, capacity
        self._level, self._at = capacity - taken, now


class Principal:
    """The holder of a key. One object for a name for as long as the name is in the keys file."""

    __slots__ = ("_requests", "_steps", "admin", "max_sessions", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.admin = False
        self.max_sessions: int | None = None
        self._requests: TokenBucket | None = None
        self._steps: TokenBucket | None = None

    def __repr__(self) -> str:
        return f"Principal({self.name!r}, admin={self.admin})"

    @property
    def counts_steps(self) -> bool:
        return self._steps is not None

    def update(self, entry: KeyEntry, defaults: KeyDefaults) -> None:
        """Go on with another entry of the same name; what was taken stays taken."""
        self.admin = entry.role == "admin"
        self.max_sessions = defaults.max_sessions if entry.max_sessions is None else entry.max_sessions
        self._requests = _bucket(self._requests, entry.requests_per_s or defaults.requests_per_s, defaults)
        self._steps = _bucket(self._steps, entry.steps_per_s or defaults.steps_per_s, defaults)

    def take_request(self) -> None:
        """Raises RateLimited, which says when the next request may come."""
        bucket = self._requests
        if bucket is not None and (wait := bucket.take(1.0, time.monotonic())):
            raise RateLimited(f"more than {bucket.rate:g} requests a second", retry_after_s=wait)

    def take_steps(self, count: int) -> None:
        """Raises RateLimited, which says when so many steps may come."""
        bucket = self._steps
        if bucket is not None and (wait := bucket.take(float(count), time.monotonic())):
            raise RateLimited(
                f"more than {bucket.rate:g} steps of a network a second; this asks for {count}",
                retry_after_s=wait,
            )


CURRENT: ContextVar[Principal | None] = ContextVar("rnnserve_principal", default=None)
"""Whose work the present task does; ``None`` without keys."""


def _bucket(present: TokenBucket | None, rate: float | None, defaults: KeyDefaults) -> TokenBucket | None:
    if rate is None:
        return None
    # At least one, or a slow rate would let nothing through at once.
    capacity = max(1.0, rate * defaults.burst_s)
    if present is None:
        return TokenBucket(rate, capacity, time.monotonic())
    present.change(rate, capacity, time.monotonic())
    return present
