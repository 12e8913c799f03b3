"""The forecaster network: causal, chunk-invariant, ordered quantiles, equivariant to scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from app.features.frequency import parse_frequency
from app.features.series import encode, kind_for
from training.cells import Cell, Nonlinearity
from training.forecast.beside import NONE, Beside
from training.forecast.net import MAX_HORIZON, Forecaster, ForecasterConfig
from training.forecast.quantiles import LEVELS, mixing_matrix

CELLS: list[tuple[Cell, Nonlinearity]] = [("rnn", "tanh"), ("rnn", "relu"), ("gru", "tanh"), ("lstm", "tanh")]


def make_net(
    cell: Cell = "lstm",
    nonlinearity: Nonlinearity = "tanh",
    horizon: int = 7,
    seed: int = 0,
    beside: Beside = NONE,
) -> Forecaster:
    """A small network with random weights everywhere, also where it begins with zeros."""
    torch.manual_seed(seed)
    config = ForecasterConfig(
        cell=cell,
        nonlinearity=nonlinearity,
        hidden=8,
        local=8,
        horizon=horizon,
        num_frequencies=3,
        beside=beside,
    )
    net = Forecaster(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    net.narrowing.copy_(torch.linspace(0.0, 0.2, horizon))
    return net


def make_series(
    num: int = 90, season: int = 12, seed: int = 0, batch: int = 3, missing: float = 0.1
) -> Tensor:
    """Random walks with a season and gaps, encoded: ``[batch, num, 12]``."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(batch):
        values = 50 + random.normal(size=num).cumsum() + 5 * np.sin(2 * np.pi * np.arange(num) / season)
        values[1:][random.random(num - 1) < missing] = np.nan
        rows.append(encode(values, None, kind_for(parse_frequency("MS"), {"MS": (1, season, season)})))
    return torch.from_numpy(np.stack(rows))


def forecast(
    net: Forecaster, x: Tensor, state: Tensor | None = None, head_from: int = 0
) -> tuple[Tensor, Tensor]:
    """Quantiles and the next row."""
    row = net.start_row().expand(x.shape[0], -1) if state is None else state
    with torch.no_grad():
        outputs, after = net(x, row, head_from)
    return outputs["quantiles"], after


@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS)
def test_chunks_equal_the_whole(cell: Cell, nonlinearity: Nonlinearity) -> None:
    """Feeding a series in pieces with the carried row gives what feeding it at once gives."""
    net, x = make_net(cell, nonlinearity), make_series()
    whole, after = forecast(net, x)
    row, parts = None, []
    for piece in torch.split(x, [1, 30, 2, 57], dim=1):
        quantiles, row = forecast(net, piece, row)
        parts.append(quantiles)
    assert row is not None
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(row, after, rtol=1e-5, atol=1e-4)


def test_the_head_reads_only_what_is_asked() -> None:
    """``head_from`` leaves out earlier forecasts, changes no later one, and may leave out all."""
    net, x = make_net(), make_series()
    whole, after = forecast(net, x)
    last, same = forecast(net, x, head_from=x.shape[1] - 1)
    torch.testing.assert_close(last, whole[:, -1:])
    torch.testing.assert_close(same, after)
    assert forecast(net, x, head_from=x.shape[1])[0].shape == (3, 0, 7, len(LEVELS))


def test_the_future_does_not_change_the_past() -> None:
    """A forecast depends on nothing that comes after its step."""
    net, x = make_net(), make_series()
    changed = x.clone()
    changed[:, 50:, 0] = 1e4
    torch.testing.assert_close(forecast(net, changed)[0][:, :50], forecast(net, x)[0][:, :50], rtol=0, atol=0)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-(2.0**99), 2.0**99, width=32) | st.just(float("nan")), min_size=1, max_size=40),
    st.integers(1, 168),
    st.integers(0, 5),
)
def test_quantiles_are_finite_and_never_cross(values: list[float], season: int, seed: int) -> None:
    """Whatever the series and the weights, quantiles are finite and do not decrease along the levels."""
    net = make_net(seed=seed)
    x = torch.from_numpy(encode(values, None, kind_for(None, {}, season=season))[None])
    quantiles, row = forecast(net, x)
    assert bool(torch.isfinite(quantiles).all())
    assert bool(torch.isfinite(row).all())
    assert bool((quantiles.diff(dim=-1) >= 0).all())


@pytest.mark.parametrize("factor", [2.0**-20, 0.5, 4.0, 2.0**30])
def test_scaling_a_series_scales_its_forecast(factor: float) -> None:
    """Values times a power of two give exactly the forecasts times that power."""
    net, x = make_net(), make_series()
    scaled = x.clone()
    scaled[..., 0] *= factor
    torch.testing.assert_close(forecast(net, scaled)[0], forecast(net, x)[0] * factor, rtol=0, atol=0)


def test_a_missing_value_is_not_its_placeholder() -> None:
    """What stands in the value column of a missing step is never read."""
    net, x = make_net(), make_series(missing=0.3)
    changed = x.clone()
    changed[..., 0] = torch.where(x[..., 1] > 0, x[..., 0], torch.tensor(777.0))
    torch.testing.assert_close(forecast(net, changed)[0], forecast(net, x)[0], rtol=0, atol=0)


def test_a_gap_differs_from_a_repeated_value() -> None:
    """The network is told which values it did not see."""
    net = make_net()
    x = make_series(batch=1, missing=0.0)
    gap, repeat = x.clone(), x.clone()
    gap[:, 60, :2] = 0
    repeat[:, 60, 0] = x[:, 59, 0]
    assert not torch.equal(forecast(net, gap)[0][:, 60], forecast(net, repeat)[0][:, 60])


def test_a_constant_series_has_a_flat_forecast() -> None:
    """Without variation the quantiles lie within a few millionths of the level."""
    quantiles, _ = forecast(make_net(), torch.from_numpy(encode(np.full(40, 250.0))[None]))
    torch.testing.assert_close(quantiles, torch.full_like(quantiles, 250.0), rtol=1e-4, atol=0)


def test_nothing_observed_is_a_forecast_of_zero() -> None:
    """A series of gaps alone yields zeros, not NaN."""
    quantiles, row = forecast(make_net(), torch.from_numpy(encode(np.full(20, np.nan))[None]))
    torch.testing.assert_close(quantiles, torch.zeros_like(quantiles), rtol=0, atol=1e-12)
    assert bool(torch.isfinite(row).all())


def test_an_untrained_network_repeats_the_season() -> None:
    """Before training the median leans to the value one season before, so training starts from there."""
    torch.manual_seed(0)
    net = Forecaster(ForecasterConfig(hidden=8, local=8, horizon=12)).eval()
    values = np.tile(np.arange(12.0) ** 2, 6)
    x = torch.from_numpy(encode(values, None, kind_for(None, {}, season=12))[None])
    median = forecast(net, x)[0][0, -1, :, net.median].numpy()
    assert np.abs(median - values[:12]).mean() < 0.5 * np.abs(values[-1] - values[:12]).mean()


@pytest.mark.parametrize("season", [1, 2, 47, 111, 112, 168, 366])
def test_the_farthest_horizon_fits_the_buffer(season: int) -> None:
    """For no season does the longest horizon reach back beyond what the row remembers."""
    net = make_net(horizon=MAX_HORIZON)
    x = make_series(num=400, season=season, batch=1)
    quantiles, _ = forecast(net, x, head_from=399)
    assert bool(torch.isfinite(quantiles).all())


def test_the_start_row_is_complete() -> None:
    """It has the size its fields add up to, and only its recurrent part is learned, once for both images."""
    net = make_net()
    row = net.start_row()
    assert row.shape == (net.row_size,)
    assert sum(int(np.prod(shape)) for _, shape in net.fields()) == net.row_size
    size = net.recurrent.size
    assert torch.equal(row[:size], row[size : 2 * size])
    assert not row[2 * size :].any()


def test_mixing_adds_gaps_outwards_from_the_median() -> None:
    """Unit gaps around a shared part of 10 give equally spaced quantiles around 10."""
    levels = (0.1, 0.25, 0.5, 0.75, 0.9)
    parts = torch.tensor([4.0, 6.0, 1.0, 1.0, 1.0, 1.0])
    assert (parts @ mixing_matrix(levels, 2)).tolist() == [8.0, 9.0, 10.0, 11.0, 12.0]
