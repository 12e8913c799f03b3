"""Long runs of tokens are made into frames a little at a time."""

from __future__ import annotations

import pytest

from app.core.sequence import Event, Finished, FinishReason, Token, Tokens, Usage
from app.service.stream import _TURN_TOKENS, _parts

COUNTS = [[], [0], [1], [255, 1], [256], [257], [10_000], [100] * 50, [3, 2000, 0, 700]]


def told(events: list[tuple[int, Event]]) -> list[tuple[int, int | None]]:
    """Each token with its choice, and each end."""
    found: list[tuple[int, int | None]] = []
    for choice, event in events:
        ids = [token.id for token in event.tokens] if isinstance(event, Tokens) else [None]
        found += [(choice, id) for id in ids]
    return found


@pytest.mark.parametrize("counts", COUNTS)
def test_parts_are_small_and_lose_nothing(counts: list[int]) -> None:
    """Neither tokens, nor ends, nor their order."""
    events: list[tuple[int, Event]] = []
    for choice, count in enumerate(counts):
        events.append((choice, Tokens([Token(number) for number in range(count)])))
        events.append((choice, Finished(FinishReason.LENGTH, Usage())))
    parts = list(_parts(events))
    assert [one for part in parts for one in told(part)] == told(events)
    for part in parts:
        assert sum(id is not None for _, id in told(part)) <= _TURN_TOKENS
