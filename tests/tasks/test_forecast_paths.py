"""Sample paths on a tiny forecaster and a real engine: beyond the trained horizon, and as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.errors import InvalidInput
from app.core.philox import normal
from app.tasks.forecast.schema import Forecast, ForecastRequest
from tests.bundles import HORIZON
from tests.rig import Rig, inference

VALUES = [10.0 + (k * 7) % 5 + 0.25 * k for k in range(60)]


@pytest.fixture
async def rig(tiny_models: Path) -> AsyncIterator[Rig]:
    """Engines for all tiny bundles."""
    async with inference(tiny_models) as rig:
        yield rig


async def ask(rig: Rig, **fields: Any) -> list[Forecast]:
    """The forecasts of an hourly series unless told otherwise."""
    given = {"freq": "h"} | fields
    request = given if "series" in given else {"values": VALUES} | given
    answer, _ = await rig.forecast(ForecastRequest.model_validate(request))
    return list(answer.forecasts)


def everything(forecasts: list[Forecast]) -> list[str]:
    """To the bit."""
    return [one.model_dump_json() for one in forecasts]


async def test_the_first_steps_are_those_without_paths(rig: Rig) -> None:
    """What the network says itself is not drawn; what lies behind it is."""
    (far,) = await ask(rig, horizon=3 * HORIZON + 1, levels=[80])
    (near,) = await ask(rig, horizon=HORIZON, levels=[80])
    assert far.paths == 200
    assert (len(far.mean), len(far.quantiles["0.1"])) == (3 * HORIZON + 1, 3 * HORIZON + 1)
    assert far.mean[:HORIZON] == near.mean
    assert {name: values[:HORIZON] for name, values in far.quantiles.items()} == near.quantiles
    assert all(low < high for low, high in zip(far.quantiles["0.1"], far.quantiles["0.9"], strict=True))
    assert "paths" not in near.model_dump_json()


async def test_paths_are_the_same_bits_alone_under_load_and_in_company(rig: Rig) -> None:
    """Whatever else the engine runs, and whichever series stand beside it in the request."""
    wanted = {"horizon": 30, "samples": 20, "seed": 3}
    alone = await ask(rig, **wanted)
    others = [ask(rig, values=[1.0 * k, 2.0, 3.0], horizon=50, samples=10, seed=k) for k in range(8)]
    together = await asyncio.gather(ask(rig, **wanted), *others, ask(rig, **wanted))
    assert everything(together[0]) == everything(together[-1]) == everything(alone)
    company = await ask(
        rig, series=[{"values": VALUES[:9]}, {"values": VALUES}, {"values": [1, 2]}], **wanted
    )
    assert everything(company[1:2]) == everything(alone)
    assert everything(await ask(rig, **wanted | {"seed": 4})) != everything(alone)
    assert rig.idle


async def test_a_shorter_horizon_draws_the_beginning_of_the_same_paths(rig: Rig) -> None:
    """A path's random numbers are those of its number and step."""
    (far,) = await ask(rig, horizon=40, samples=7)
    (near,) = await ask(rig, horizon=5, samples=3)
    assert far.samples is not None
    assert near.samples is not None
    np.testing.assert_allclose(near.samples, [path[:5] for path in far.samples[:3]], rtol=1e-6)


async def test_many_paths_have_the_quantiles_of_the_forecast(rig: Rig) -> None:
    """Within what 1,000 draws leave to chance; and they keep together from step to step."""
    (one,) = await ask(rig, horizon=HORIZON, samples=1000, quantiles=[0.1, 0.5, 0.9])
    paths = np.array(one.samples)
    assert paths.shape == (1000, HORIZON)
    for level in (0.1, 0.5, 0.9):
        below = (paths <= np.array(one.quantiles[f"{level:g}"])).mean(axis=0)
        np.testing.assert_allclose(below, level, atol=0.05)


async def test_paths_stay_within_the_bounds(rig: Rig) -> None:
    """What is fed back too, so that a count does not drift below zero."""
    values = [0, 0, 3, 0, 1, 0, 0, 0, 2, 0] * 4
    (bounded,) = await ask(rig, values=values, horizon=40, samples=50, max=4)
    assert (bounded.min, bounded.max) == (0.0, 4.0)
    assert bounded.samples is not None
    assert all(0 <= value <= 4 for path in bounded.samples for value in path)
    assert all(0 <= value <= 4 for row in bounded.quantiles.values() for value in row)
    (free,) = await ask(rig, values=values, horizon=40, samples=50, min=None)
    assert free.samples is not None
    assert min(value for path in free.samples for value in path) < 0


async def test_too_many_values_are_refused_by_field(rig: Rig) -> None:
    """Series times paths times steps; the field is the one that was asked for."""
    for fields, field in (
        ({"samples": 1000, "horizon": 10 * HORIZON, "series": [{"values": VALUES}] * 5}, "samples"),
        ({"horizon": 10 * HORIZON, "series": [{"values": VALUES}] * 50}, "horizon"),
    ):
        with pytest.raises(InvalidInput) as caught:
            await ask(rig, **fields)
        assert (caught.value.field, caught.value.allowed) == (field, {"max": 500_000})
    assert rig.idle


def test_normal_numbers_are_normal_and_repeat() -> None:
    """Each depends on its seed and position alone."""
    positions = np.arange(20_000, dtype=np.uint64)
    drawn = normal(5, positions)
    assert abs(drawn.mean()) < 0.03
    assert abs(drawn.std() - 1) < 0.02
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.03
    np.testing.assert_array_equal(
        normal(5, positions[7000:7010].reshape(2, 5)), drawn[7000:7010].reshape(2, 5)
    )
    assert np.isfinite(normal(2**63 - 1, np.array([2**62], np.uint64))).all()
