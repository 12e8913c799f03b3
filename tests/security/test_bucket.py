"""The arithmetic of the token bucket, on a clock of the test's own."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from app.access.principal import TokenBucket

rates = st.floats(0.01, 1000)
capacities = st.floats(0.5, 1000)
asks = st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 2000)), min_size=1, max_size=40)
"""Pauses in seconds, each with an amount that is asked for after it."""


def run(rate: float, capacity: float, work: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """What was let through: (time, amount)."""
    bucket, now, granted = TokenBucket(rate, capacity, 0.0), 0.0, []
    for pause, amount in work:
        now += pause
        if bucket.take(amount, now) == 0:
            granted.append((now, amount))
    return granted


@given(rates, capacities, asks)
def test_no_stretch_of_time_lets_more_through_than_the_rate_and_one_bucket(
    rate: float, capacity: float, work: list[tuple[float, float]]
) -> None:
    """What is larger than the bucket comes last in its stretch, and is paid for later."""
    granted = run(rate, capacity, work)
    for first in range(len(granted)):
        for last in range(first, len(granted)):
            seconds = granted[last][0] - granted[first][0]
            amounts = [amount for _, amount in granted[first : last + 1]]
            debt = max(0.0, amounts[-1] - capacity)
            assert sum(amounts) <= (capacity + rate * seconds + debt) * (1 + 1e-9) + 1e-6


@given(rates, capacities, asks, st.floats(0.1, 2000))
def test_the_wait_it_names_is_enough_and_not_too_long(
    rate: float, capacity: float, work: list[tuple[float, float]], amount: float
) -> None:
    """Just before it the same is refused, and at its end it passes."""
    bucket, now = TokenBucket(rate, capacity, 0.0), 0.0
    for pause, some in work:
        now += pause
        bucket.take(some, now)
    wait = bucket.take(amount, now)
    if wait:
        assert math.isfinite(wait)
        assert bucket.take(amount, now + 0.99 * wait) > 0
        assert bucket.take(amount, now + 1.01 * wait + 1e-6) == 0


@given(rates, capacities, asks)
def test_a_refusal_takes_nothing(rate: float, capacity: float, work: list[tuple[float, float]]) -> None:
    """Whoever keeps asking is not served later for it."""
    patient, eager, now = TokenBucket(rate, capacity, 0.0), TokenBucket(rate, capacity, 0.0), 0.0
    for pause, amount in work:
        now += pause
        wait = patient.take(amount, now)
        if wait:
            assert eager.take(amount, now) > 0
            assert math.isclose(eager.take(amount, now), wait)
        else:
            assert eager.take(amount, now) == 0


def test_a_steady_caller_below_the_rate_is_never_refused() -> None:
    """Ten a second, one at a time, for a long time."""
    bucket = TokenBucket(10.0, 1.0, 0.0)
    assert all(bucket.take(1.0, number / 9.9) == 0 for number in range(10_000))


def test_a_change_of_the_rate_keeps_what_was_taken() -> None:
    """Editing the keys file is no way to start afresh."""
    bucket = TokenBucket(1.0, 10.0, 0.0)
    assert bucket.take(10.0, 0.0) == 0
    bucket.change(2.0, 20.0, 0.0)
    assert bucket.take(10.0, 0.0) == 0
    assert bucket.take(1.0, 0.0) == 0.5
