"""Backtests on a tiny forecaster and a real engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.errors import InvalidInput
from app.tasks.forecast.backtest_schema import BacktestAnswer, BacktestRequest
from app.tasks.forecast.schema import ForecastRequest
from app.tasks.forecast.task import BACKTEST
from tests.bundles import HORIZON
from tests.rig import BY_NAME, Rig, inference

RANDOM = np.random.default_rng(0)
VALUES = (20 + 5 * np.sin(2 * np.pi * np.arange(120) / 24) + RANDOM.normal(size=120)).tolist()


@pytest.fixture
async def rig(tiny_models: Path) -> AsyncIterator[Rig]:
    """Engines for all tiny bundles."""
    async with inference(tiny_models) as rig:
        yield rig


async def test_forecasts_are_those_of_what_was_known(rig: Rig) -> None:
    """To the bit, from every origin, whatever the others are and with what else is in the request."""
    series = [{"values": VALUES, "id": "a"}, {"values": VALUES[:50]}, {"values": VALUES[7:120]}]
    answer = await ask(
        rig, series=series, freq="h", start="2024-01-01", horizon=5, origins=6, stride=7, forecasts=True
    )
    assert [one.origins for one in answer.series] == [
        [80, 87, 94, 101, 108, 115],
        [17, 24, 31, 38, 45],
        [73, 80, 87, 94, 101, 108],
    ]
    for one, given in zip(answer.series, series, strict=True):
        assert one.forecasts is not None
        for made in one.forecasts:
            known = {"values": given["values"][: made.origin], "freq": "h", "start": "2024-01-01"}
            request = known | {"horizon": 5, "quantiles": [0.1, 0.5, 0.9]}
            whole, _ = await rig.forecast(ForecastRequest.model_validate(request))
            (same,) = whole.forecasts
            assert (made.mean, made.quantiles, made.timestamps) == (
                same.mean,
                same.quantiles,
                same.timestamps,
            )
    assert rig.idle


async def test_scores_are_those_of_their_definitions(rig: Rig) -> None:
    """Counted again from the forecasts that came back; the naive one is the same hour of the day before."""
    values: list[float | None] = [*VALUES]
    values[100] = None
    answer = await ask(rig, values=values, freq="h", horizon=4, origins=3, stride=9, forecasts=True)
    (one,) = answer.series
    assert one.forecasts is not None
    y = np.array([np.nan if value is None else value for value in values])
    first = one.origins[0]
    differences = y[24:first] - y[: first - 24]
    errors, squares, inside, naive = [], [], [], []
    for made in one.forecasts:
        for step in range(4):
            true = y[made.origin + step]
            if np.isnan(true):
                continue
            errors.append(abs(true - made.quantiles["0.5"][step]))
            squares.append((true - made.mean[step]) ** 2)
            inside.append(made.quantiles["0.1"][step] <= true <= made.quantiles["0.9"][step])
            naive.append(abs(true - y[made.origin + step - 24]))
    assert one.model.mase == pytest.approx(np.mean(errors) / np.abs(differences).mean(), abs=1e-5)
    assert one.model.rmsse == pytest.approx(np.sqrt(np.mean(squares) / (differences**2).mean()), abs=1e-5)
    assert one.model.coverage == {"80": pytest.approx(np.mean(inside), abs=1e-6)}
    assert one.seasonal_naive.mase == pytest.approx(np.mean(naive) / np.abs(differences).mean(), abs=1e-5)
    assert one.model.pinball is not None
    assert answer.scores == one.model


async def test_the_mean_over_series_leaves_out_what_has_no_score(rig: Rig) -> None:
    """A constant has no scale, so its errors have no size."""
    answer = await ask(rig, series=[{"values": VALUES}, {"values": [5] * 40}], freq="h", horizon=3)
    varied, constant = answer.series
    assert (constant.model.mase, constant.seasonal_naive.rmsse) == (None, None)
    assert answer.scores.mase == varied.model.mase


async def test_the_season_is_found_in_what_the_first_origin_knew(rig: Rig) -> None:
    """A season that begins later is not known yet; without a frequency it is found."""
    (one,) = (await ask(rig, values=VALUES, horizon=3)).series
    assert (one.season, one.long_season, one.freq) == (24, 168, None)
    pattern = (np.arange(60) % 4 * 10.0).tolist()
    late = [*RANDOM.normal(size=60).tolist(), *pattern]
    (one,) = (await ask(rig, values=late, horizon=5, origins=50)).series
    assert (one.origins[0], one.season) == (66, 1)


async def test_a_short_series_has_fewer_origins_and_a_shorter_default(rig: Rig) -> None:
    """At least a third is known before the first."""
    (one,) = (await ask(rig, values=[3, 1, 4, 1, 5, 9, 2, 6])).series
    assert (one.horizon, one.origins) == (2, [4, 5, 6])
    (one,) = (await ask(rig, values=VALUES, freq="h")).series
    assert (one.horizon, len(one.origins)) == (HORIZON, 10)


@pytest.mark.parametrize(
    ("fields", "field", "allowed"),
    [
        ({"horizon": HORIZON + 1}, "horizon", {"min": 1, "max": HORIZON}),
        ({"levels": [80, 96]}, "levels", {"max": 95.0}),
        ({"values": [1, 2, 3, 4], "horizon": 3}, "values", {"min_values": 7}),
        ({"values": [None] * 30 + [1, 2, 3], "horizon": 1}, "values", {"min_observed": 2}),
        ({"season": 1000}, "season", {"min": 1, "max": 168}),
        ({"min": 3, "max": 2}, "min", {"max": 2.0}),
        ({"series": [{"values": VALUES}] * 200, "origins": 40, "horizon": 12}, "origins", {"max": 500_000}),
    ],
)
async def test_what_cannot_be_backtested_is_refused_by_field(
    rig: Rig, fields: dict[str, Any], field: str, allowed: object
) -> None:
    """With what is allowed."""
    with pytest.raises(InvalidInput) as caught:
        await ask(rig, **({"values": VALUES} if "series" not in fields else {}) | fields)
    assert (caught.value.field, caught.value.allowed) == (field, allowed)


async def ask(rig: Rig, **fields: Any) -> BacktestAnswer:
    """The backtest of the default forecaster."""
    request = BacktestRequest.model_validate(fields)
    answer, _ = await rig.service.answer(BY_NAME["forecast"], request, BACKTEST.of)
    assert isinstance(answer, BacktestAnswer)
    return answer
