"""Forecast requests to sequences, quantiles to answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bundle.reader import read_bundle
from app.core.errors import InvalidInput, InvalidManifest
from app.core.offload import LOOP_MS
from app.features.text import TextLimits
from app.tasks.forecast.model import ForecastModel
from app.tasks.forecast.quantiles import interpolation, mean_weights, rounded
from app.tasks.forecast.schema import ForecastLimits, ForecastRequest
from app.tasks.sentiment.model import SentimentModel
from tests.bundles import HORIZON, tiny_forecaster

LEVELS = np.array([0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975])


@pytest.fixture
def task(tiny_models: Path) -> ForecastModel:
    """Of a tiny forecaster, with small limits."""
    bundle = read_bundle(tiny_models / "tiny-series-lstm" / "1")
    return ForecastModel(bundle, ForecastLimits(max_series=3, max_points=50))


def ask(**fields: Any) -> ForecastRequest:
    """A request, two values unless told otherwise."""
    given = {"horizon": 2} | fields
    return ForecastRequest.model_validate(given if "series" in fields else {"values": [1.0, 2.0]} | given)


def test_one_series_is_one_sequence_of_its_length(task: ForecastModel) -> None:
    """Missing values are steps like others, marked as unobserved."""
    prepared = task.prepare(ask(values=[1.0, None, 3.0]))
    assert [block.steps.shape[0] for block in prepared.blocks] == [1]
    steps = prepared.blocks[0].steps[0]
    assert steps[:, 0].tolist() == [1.0, 0.0, 3.0]
    assert steps[:, 1].tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("fields", "leaves"),
    [
        ({}, False),
        ({"values": [1.0] * 5_000}, False),
        ({"values": [1.0] * 500_000}, True),
        ({"series": [{"values": [1.0, 2.0]}] * 20}, False),
        ({"series": [{"values": [1.0, 2.0]}] * 100}, True),
        ({"series": [{"values": [1.0, 2.0]}] * 10_000, "season": [7]}, True),
        ({"series": [{"values": [1.0, 2.0], "start": "2024-01-01"}] * 10_000, "freq": "D"}, True),
    ],
)
def test_what_takes_long_to_make_ready_leaves_the_event_loop(
    task: ForecastModel, fields: dict[str, Any], leaves: bool
) -> None:
    """Whether it has seasons to find or not."""
    assert (task.milliseconds(ask(**fields)) > LOOP_MS) == leaves


def test_timestamps_follow_the_last_observation(task: ForecastModel) -> None:
    """Two hourly values from ten o'clock are followed by noon."""
    prepared = task.prepare(ask(start="2024-02-28T22:00", freq="h"))
    answer = task.finish(prepared, [np.zeros((1, HORIZON, len(LEVELS)), np.float32)])
    assert answer.forecasts[0].timestamps == ["2024-02-29T00:00:00", "2024-02-29T01:00:00"]


def test_without_a_start_there_are_no_timestamps(task: ForecastModel) -> None:
    """The frequency alone still tells the season."""
    prepared = task.prepare(ask(freq="h"))
    assert prepared.blocks[0].steps[0, 0, 2:5].tolist() == [1, 24, 168]
    answer = task.finish(prepared, [np.zeros((1, HORIZON, len(LEVELS)), np.float32)])
    assert answer.forecasts[0].timestamps is None


def test_a_frequency_the_model_never_saw_is_served_with_its_usual_season(task: ForecastModel) -> None:
    """Index 0 is the row for all others."""
    assert task.prepare(ask(freq="15min")).blocks[0].steps[0, 0, 2:4].tolist() == [0, 96]


def test_levels_are_pairs_of_quantiles(task: ForecastModel) -> None:
    """80 and 95 % are the quantiles 0.1, 0.9, 0.025 and 0.975, trained ones being exact."""
    output = np.arange(HORIZON * len(LEVELS), dtype=np.float32).reshape(1, HORIZON, -1)
    forecast = task.finish(task.prepare(ask(levels=[80, 95])), [output]).forecasts[0]
    assert list(forecast.quantiles) == ["0.025", "0.1", "0.9", "0.975"]
    assert forecast.quantiles["0.1"] == [2.0, 11.0]


@pytest.mark.parametrize(
    ("fields", "field", "allowed"),
    [
        ({"horizon": 10 * HORIZON + 1}, "horizon", {"min": 1, "max": 10 * HORIZON}),
        ({"quantiles": [0.001]}, "quantiles", {"min": 0.025, "max": 0.975}),
        ({"levels": [99.9]}, "levels", {"max": 95.0}),
        ({"values": [1.0]}, "values", {"min_observed": 2}),
        ({"values": [None, None, None]}, "values", {"min_observed": 2}),
        ({"values": [1.0] * 51}, "values", {"max": 50}),
        ({"freq": "fortnight"}, "freq", ...),
        ({"start": "2024-01-01"}, "freq", ...),
        ({"start": "yesterday", "freq": "D"}, "start", ...),
        ({"start": "9999-12-31", "freq": "D"}, "start", ...),
        ({"season": 1000}, "season", {"min": 1, "max": 168}),
        ({"season": [24, 1000]}, "season", {"min": 1, "max": 168}),
        ({"min": 2, "max": 1}, "min", {"max": 1.0}),
        ({"series": [{"values": [1, 2], "min": 3, "max": 1}]}, "series.0.min", {"max": 1.0}),
        ({"series": [{"values": [1.0, 2.0]}] * 4}, "series", {"max": 3}),
        ({"series": [{"values": [1.0, 2.0]}, {"values": [1.0]}]}, "series.1.values", {"min_observed": 2}),
        ({"series": [{"values": [1.0, 2.0], "freq": "?"}]}, "series.0.freq", ...),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_field(
    task: ForecastModel, fields: dict[str, Any], field: str, allowed: object
) -> None:
    """Each refusal names the field and, where there is one, the limit."""
    with pytest.raises(InvalidInput) as caught:
        task.prepare(ask(**fields))
    assert caught.value.field == field
    if allowed is not ...:
        assert caught.value.allowed == allowed


def test_a_season_is_found_where_nothing_tells_it(task: ForecastModel) -> None:
    """In the values; a frequency, or a season of the request, tells it. The answer says what was used."""
    values = [float(k % 4) for k in range(40)]
    for fields, steps, said in (
        ({}, [0, 4, 4], (4, 4, None)),
        ({"season": 1}, [0, 1, 1], (1, 1, None)),
        ({"season": [24, 5]}, [0, 5, 24], (5, 24, None)),
        ({"freq": "h"}, [1, 24, 168], (24, 168, "h")),
        ({"freq": "2D"}, [0, 4, 4], (4, 4, "2D")),
    ):
        prepared = task.prepare(ask(values=values, **fields))
        assert prepared.blocks[0].steps[0, 0, 2:5].tolist() == steps
        (forecast,) = task.finish(prepared, [np.zeros((1, HORIZON, len(LEVELS)), np.float32)]).forecasts
        assert (forecast.season, forecast.long_season, forecast.freq) == said


@pytest.mark.parametrize(
    ("fields", "steps"),
    [({"freq": "h"}, HORIZON), ({"season": 4}, 8), ({}, 12), ({"season": [1, 20]}, 12), ({"freq": "D"}, 12)],
)
def test_without_a_horizon_two_seasons_are_forecast(
    task: ForecastModel, fields: dict[str, Any], steps: int
) -> None:
    """Or a dozen steps; no more than the model was trained for."""
    request = ForecastRequest.model_validate({"values": [1.0, 2.0], **fields})
    assert task.prepare(request).horizon == steps


@pytest.mark.parametrize(
    ("values", "fields", "bounds"),
    [
        ([3, 0, 1], {}, (0.0, None)),
        ([3, 0, 1], {"min": None}, (None, None)),
        ([3, 0, 1], {"min": 1, "max": 2}, (1.0, 2.0)),
        ([3, None, 0.5, 0], {}, (0.0, None)),
        ([3.5, 0.5, 1.5], {}, (None, None)),
        ([3, -1, 0], {}, (None, None)),
        ([0.5] * 10 + [0], {}, (None, None)),
        ([3, 2], {"max": -5}, (None, -5.0)),
    ],
)
def test_bounds_are_told_or_seen(
    task: ForecastModel, values: list[float | None], fields: dict[str, Any], bounds: tuple[float | None, ...]
) -> None:
    """Counts are not negative: whole, or a tenth zeros, and nothing below zero; all numbers keep to them."""
    output = np.linspace(-30, 30, HORIZON * len(LEVELS), dtype=np.float32).reshape(1, HORIZON, -1)
    (forecast,) = task.finish(task.prepare(ask(values=values, **fields)), [output]).forecasts
    assert (forecast.min, forecast.max) == bounds
    low, high = (-30 if bounds[0] is None else bounds[0]), (30 if bounds[1] is None else bounds[1])
    numbers = [*forecast.mean, *(value for row in forecast.quantiles.values() for value in row)]
    assert all(low <= value <= high for value in numbers)


def test_a_series_has_bounds_of_its_own(task: ForecastModel) -> None:
    """Beside those of the request."""
    series = [{"values": [1, 2]}, {"values": [1, 2], "min": None, "max": 9}]
    first, second = task.prepare(ask(series=series, min=-3)).histories
    assert (first.low, first.high, second.low, second.high) == (-3.0, None, None, 9.0)


@pytest.mark.parametrize("values", [[0, 0, 0], [0, 0, 5e4], [0.5, 0.25, 0.0]])
def test_noise_around_zero_is_zero(task: ForecastModel, values: list[float]) -> None:
    """And has no sign."""
    output = np.full((1, HORIZON, len(LEVELS)), -4e-21, np.float32)
    answer = task.finish(task.prepare(ask(values=values, min=None)), [output])
    (forecast,) = answer.forecasts
    assert str([forecast.mean, *forecast.quantiles.values()]).count("0.0") == 2 * (1 + len(LEVELS))
    assert "-0.0" not in answer.model_dump_json()


def test_intervals_go_as_far_as_the_model_knows(tmp_path: Path) -> None:
    """99 % where it knows the quantiles of 0.5 and 99.5 %."""
    levels = (0.005, 0.025, 0.1, 0.5, 0.9, 0.975, 0.995)
    model = ForecastModel(read_bundle(tiny_forecaster(tmp_path, levels=levels)), ForecastLimits())
    assert model.prepare(ask(levels=[99, 98])).levels == (0.005, 0.01, 0.99, 0.995)
    with pytest.raises(InvalidInput) as caught:
        model.prepare(ask(levels=[99.5]))
    assert caught.value.allowed == {"max": 99.0}


@given(st.lists(st.floats(0.025, 0.975), min_size=1, max_size=9, unique=True).map(sorted), st.data())
def test_interpolated_quantiles_never_cross(wanted: list[float], data: st.DataObject) -> None:
    """Whatever levels are asked for, ascending quantiles stay ascending."""
    trained = np.sort(data.draw(st.lists(st.floats(-1e6, 1e6), min_size=9, max_size=9)))
    values = trained @ interpolation(LEVELS, np.array(wanted))
    slack = 1e-9 * max(1.0, np.abs(trained).max())
    assert (np.diff(values) >= -slack).all()
    assert trained[0] - slack <= values[0]
    assert values[-1] <= trained[-1] + slack


def test_trained_levels_are_not_interpolated() -> None:
    """Asking for exactly the trained levels gives the network's own numbers."""
    np.testing.assert_array_equal(interpolation(LEVELS, LEVELS), np.eye(9))


def test_the_mean_of_a_symmetric_distribution_is_its_median() -> None:
    """The weights add up to one."""
    weights = mean_weights(LEVELS)
    assert weights.sum() == pytest.approx(1)
    assert np.array([-9, -5, -3, -1, 0, 1, 3, 5, 9]) @ weights == pytest.approx(0)


@pytest.mark.parametrize(
    ("value", "expected"), [(112.30000305, 112.30000), (0.0, 0.0), (1.23456789e-9, 1.2345679e-9)]
)
def test_answers_keep_eight_digits(value: float, expected: float) -> None:
    """What float32 cannot know is not printed."""
    assert rounded(np.array([[value]]))[0, 0] == pytest.approx(expected, rel=1e-8)


def test_a_bundle_of_another_task_is_refused(tiny_models: Path) -> None:
    """A classifier's manifest makes no forecaster, nor the reverse."""
    with pytest.raises(InvalidManifest):
        ForecastModel(read_bundle(tiny_models / "tiny-mood-gru" / "1"), ForecastLimits())
    with pytest.raises(InvalidManifest):
        SentimentModel(read_bundle(tiny_models / "tiny-series-lstm" / "1"), TextLimits())
