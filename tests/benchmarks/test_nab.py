"""The scoring of detections by windows, on cases that can be reckoned by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.nab import File, onsets, rolling_z, score

FILE = File("calm.csv", [0.0] * 1000, "h", [(300, 399), (700, 799)])


def at(*places: int) -> list[np.ndarray]:
    """Detections in the file."""
    return [np.array(places, int)]


def test_nothing_is_nothing_and_all_at_once_is_all() -> None:
    """The ends of the scale."""
    assert score([FILE], at()).score == 0
    best = score([FILE], at(300, 700))
    assert (best.recall, best.precision) == (1, 1)
    assert best.score == pytest.approx(100)


def test_early_is_better_than_late_and_outside_costs() -> None:
    """A window counts once, by its first detection; what is in the probation does not count."""
    late = score([FILE], at(390, 395, 790))
    assert (late.recall, late.precision) == (1, 1)
    assert 50 < late.score < 70
    wrong = score([FILE], at(300, 500, 700))
    assert wrong.precision == pytest.approx(2 / 3)
    assert wrong.false_per_thousand == pytest.approx(1000 / 850)
    assert wrong.score == pytest.approx(100 - 100 * 0.11 * 0.987 / 4, abs=0.1)
    assert score([FILE], at(10, 300, 700)).score == pytest.approx(100)
    assert score([FILE], at(401, 300, 700)).score > score([FILE], at(650, 300, 700)).score


def test_alarms_near_each_other_are_one_detection() -> None:
    """Its first alarm."""
    alarms = np.zeros(100, bool)
    alarms[[5, 6, 9, 30, 41]] = True
    assert onsets(alarms, 10).tolist() == [5, 30, 41]
    assert onsets(np.zeros(5, bool), 10).tolist() == []


def test_the_rolling_score_knows_the_past_alone() -> None:
    """A jump stands out by the deviation before it; on a constant series it is beyond measure."""
    values = [float(k % 2) for k in range(200)]
    values[150] = 10.5
    assert rolling_z(values, 100)[150] == pytest.approx(20.0)
    assert rolling_z(values, 100)[:150].max() < 2
    assert rolling_z([3.0] * 50 + [4.0], 100)[50] == np.inf
