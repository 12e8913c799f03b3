"""A token bucket: so many units a second, so many at once.

    level(t) = min(capacity, level + rate * (t - at));  take(n): level -= n

Turner, "New directions in communications (or which way to the information age?)", 1986.
"""

from __future__ import annotations


class TokenBucket:
    """Lets ``rate`` units a second through, and ``capacity`` at once after a pause.

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
