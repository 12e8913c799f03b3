"""Covariates in the network: read at each step, and of steps ahead; the same bits however they are fed."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.features.frequency import parse_frequency
from app.features.series import SeriesKind, encode
from app.tasks.forecast.covariate_spec import CovariateReader, CovariateSpec, Scaled, Words
from tests.training.forecast.test_emit import Run, graph_of
from tests.training.forecast.test_net import make_net
from training.forecast.beside import Beside

Array = NDArray[np.float32]
STEPS, HORIZON = 60, 7
SPEC = CovariateSpec(
    future=(Scaled(name="price", mean=3, scale=2), Scaled(name="promo")),
    past=(Scaled(name="visitors"),),
    static=(Words(name="shop", values=("a", "b")),),
)
PAST_ALONE = CovariateSpec(past=(Scaled(name="visitors"),))


def steps(spec: CovariateSpec = SPEC, *, ahead: float = 0.0, past: float = 0.0) -> Array:
    """Three series with gaps. ``ahead`` is added to the last price ahead, ``past`` to the last visitors."""
    random = np.random.default_rng(3)
    rows = []
    for index, code in enumerate(("D", "MS", "h")):
        values = 10.0**index + random.normal(size=STEPS).cumsum()
        values[random.random(STEPS) < 0.15] = np.nan
        frequency = parse_frequency(code)
        kind = SeriesKind(frequency, index, frequency.season, frequency.long_season)
        given = [random.normal(size=STEPS + HORIZON) for _ in spec.future]
        visitors = random.normal(size=STEPS)
        visitors[-1] += past
        if given:
            given[0][-1] += ahead
            given[1][5] = np.nan
        words = ["a", "b", None][index : index + 1] * len(spec.static)
        told = CovariateReader(spec).read(STEPS, given, [visitors], words)
        rows.append(told.widened(encode(values, None, kind), HORIZON))
    return np.stack(rows)


@cache
def graph(spec: CovariateSpec) -> tuple[Run, Array, Array]:
    net = make_net(horizon=HORIZON, beside=Beside(spec.known, spec.others))
    return graph_of(net, steps(spec))


@pytest.mark.parametrize("spec", [SPEC, PAST_ALONE])
def test_the_graph_computes_what_pytorch_computes(spec: CovariateSpec) -> None:
    run, start, expected = graph(spec)
    quantiles, _ = run(steps(spec), np.tile(start, (3, 1)), 0)
    level = np.abs(expected).max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(quantiles / level, expected / level, rtol=0, atol=1e-5)


@pytest.mark.parametrize("spec", [SPEC, PAST_ALONE])
@settings(max_examples=10, deadline=None)
@given(cuts=st.sets(st.integers(1, STEPS - 1), max_size=8), neighbours=st.integers(0, 2))
def test_chunks_and_neighbours_change_no_bit(spec: CovariateSpec, cuts: set[int], neighbours: int) -> None:
    run, start, _ = graph(spec)
    whole = [run(steps(spec)[row : row + 1], start[None], 0) for row in range(3)]
    chosen = list(range(neighbours + 1))
    rows, parts = np.tile(start, (len(chosen), 1)), []
    for chunk in np.split(steps(spec)[chosen], sorted(cuts), axis=1):
        quantiles, rows = run(np.ascontiguousarray(chunk), rows, 0)
        parts.append(quantiles)
    joined = np.concatenate(parts, axis=1)
    for place, row in enumerate(chosen):
        assert joined[place].tobytes() == whole[row][0][0].tobytes()
        assert rows[place].tobytes() == whole[row][1][0].tobytes()


def test_steps_are_read_without_a_forecast() -> None:
    run, start, _ = graph(SPEC)
    whole, after = run(steps(), np.tile(start, (3, 1)), 0)
    for head_from in (1, STEPS):
        quantiles, same = run(steps(), np.tile(start, (3, 1)), head_from)
        assert quantiles.tobytes() == whole[:, head_from:].tobytes()
        assert same.tobytes() == after.tobytes()


def test_what_is_told_of_a_step_ahead_changes_the_forecast_of_that_step_alone() -> None:
    """The last price belongs to the farthest step that the last forecast speaks of."""
    run, start, _ = graph(SPEC)
    rows = np.tile(start, (3, 1))
    before, state = run(steps(), rows, 0)
    after, state_after = run(steps(ahead=1.0), rows, 0)
    changed = (before != after).any(axis=(0, 3))
    assert changed[-1, -1]
    changed[-1, -1] = False
    assert not changed.any()
    assert state.tobytes() == state_after.tobytes()


def test_what_is_known_of_the_past_changes_no_earlier_forecast() -> None:
    run, start, _ = graph(SPEC)
    rows = np.tile(start, (3, 1))
    before, after = run(steps(), rows, 0)[0], run(steps(past=1.0), rows, 0)[0]
    assert (before[:, -1] != after[:, -1]).any()
    assert before[:, :-1].tobytes() == after[:, :-1].tobytes()
