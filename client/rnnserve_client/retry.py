"""How often and how fast a request is sent again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

AGAIN = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may be answered."""

_LONGEST_RETRY_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how fast to try again.

    Attributes:
        attempts: the first included.
        first_s: the pause after the first; it doubles.
        longest_s: the longest pause, unless the server asks for a longer one with ``Retry-After``.
    """

    attempts: int = 10
    first_s: float = 0.05
    longest_s: float = 2.0

    def pause_s(self, attempt: int, asked_s: float = 0.0) -> float:
        """The pause after a failed attempt, the first being 0; at least what the server asked for."""
        longest = min(self.longest_s, self.first_s * 2.0**attempt)
        return max(min(asked_s, _LONGEST_RETRY_AFTER_S), random.uniform(longest / 2, longest))


def asked_pause_s(headers: Mapping[str, str]) -> float:
    """Seconds of ``Retry-After``; 0 without one, or where a proxy gives a date."""
    try:
        return max(0.0, float(headers.get("retry-after", "0")))
    except ValueError:
        return 0.0
