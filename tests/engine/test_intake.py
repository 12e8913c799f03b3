"""The queue's front: when it is full, and when it takes work again."""

from __future__ import annotations

import pytest

from app.core.errors import Overloaded
from app.engine.handover import Intake
from app.engine.load import QueueLimits


def queued(intake: Intake, steps: int) -> None:
    """One sequence of so many steps."""
    intake.reserve(steps, 1)


def test_a_full_queue_opens_again_well_below_its_bounds() -> None:
    """Refusals in between cost no look at what is asked; at the mark it takes work again."""
    intake = Intake(QueueLimits(max_steps=100))
    for _ in range(10):
        queued(intake, 10)
    assert intake.full_for_s is None
    with pytest.raises(Overloaded) as refused:
        queued(intake, 10)
    assert intake.full_for_s == refused.value.retry_after_s == 1.0
    intake.settle(20, 2)
    assert intake.full_for_s is not None
    with pytest.raises(Overloaded):
        queued(intake, 1)
    intake.settle(5, 0, rate=10.0)
    assert intake.full_for_s is None
    queued(intake, 25)
    with pytest.raises(Overloaded):
        queued(intake, 1)
    # As long as the work that waits takes at the rate it had.
    assert intake.full_for_s == 10.0


def test_what_never_fits_does_not_close_the_queue() -> None:
    """One request larger than the bounds is refused, and the others are not."""
    intake = Intake(QueueLimits(max_steps=100))
    queued(intake, 10)
    with pytest.raises(Overloaded):
        queued(intake, 101)
    assert intake.full_for_s is None
    queued(intake, 10)


def test_sequences_count_as_well() -> None:
    """Whichever bound is reached first."""
    intake = Intake(QueueLimits(max_sequences=4))
    for _ in range(4):
        queued(intake, 1)
    with pytest.raises(Overloaded):
        queued(intake, 1)
    assert intake.full_for_s is not None
    intake.die()
    assert intake.full_for_s is None
