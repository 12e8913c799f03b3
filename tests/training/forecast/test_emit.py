"""The forecaster's graph: PyTorch's numbers, and the same bits in any chunks and any batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto

from app.features.frequency import parse_frequency
from app.features.series import SeriesKind, encode
from tests.training.forecast.test_net import CELLS, make_net
from training.cells import Cell, Nonlinearity
from training.forecast.net import Forecaster
from training.forecast.quantiles import LEVELS
from training.graph import Graph

Array = NDArray[np.float32]
Run = Callable[[Array, Array, int], tuple[Array, Array]]
STEPS = 70


@cache
def graph(cell: Cell, nonlinearity: Nonlinearity) -> tuple[Run, Array, Array]:
    """A small network in ONNX Runtime with its start row, and PyTorch's quantiles of ``steps()``."""
    return graph_of(make_net(cell, nonlinearity), steps())


def graph_of(net: Forecaster, steps: Array) -> tuple[Run, Array, Array]:
    """As :func:`graph`, of any network and steps."""
    g = Graph("forecaster")
    x = g.input("x", TensorProto.FLOAT, ["batch", "time", *net.step_shape])
    state = g.input("state", TensorProto.FLOAT, ["batch", net.row_size])
    head_from = g.input("head_from", TensorProto.INT64, [1])
    outputs, after = net.emit(g, x, state, head_from)
    g.output("quantiles", outputs["quantiles"], ["batch", "read", net.horizon, len(LEVELS)])
    g.output("state_out", after, ["batch", net.row_size])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        g.model().SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def run(x: Array, state: Array, head_from: int) -> tuple[Array, Array]:
        feeds = {"x": x, "state": state, "head_from": np.array([head_from], np.int64)}
        quantiles, after = session.run(["quantiles", "state_out"], feeds)
        return quantiles, after

    start = net.start_row().detach()
    with torch.no_grad():
        expected = net(torch.from_numpy(steps), start.expand(len(steps), -1))[0]["quantiles"].numpy()
    return run, start.numpy(), expected


@cache
def steps() -> Array:
    """Five series of different frequencies, seasons and gaps: one late, one constant, one of gaps alone."""
    random = np.random.default_rng(3)
    rows = []
    for index, code in enumerate(("h", "D", "MS", "W", "15min")):
        values = 10.0**index + random.normal(size=STEPS).cumsum()
        values[random.random(STEPS) < 0.15] = np.nan
        if index == 1:
            values[:20] = np.nan
        if index == 2:
            values[:] = 5.0
        if index == 4:
            values[:] = np.nan
        frequency = parse_frequency(code)
        kind = SeriesKind(frequency, index % 3, frequency.season, frequency.long_season)
        rows.append(encode(values, None, kind))
    return np.stack(rows)


@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS)
def test_the_graph_computes_what_pytorch_computes(cell: Cell, nonlinearity: Nonlinearity) -> None:
    """The quantiles of every step agree within float32 rounding of the series' level."""
    run, start, expected = graph(cell, nonlinearity)
    quantiles, _ = run(steps(), np.tile(start, (5, 1)), 0)
    level = np.abs(expected).max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(quantiles / (level + 1e-6), expected / (level + 1e-6), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS)
@settings(max_examples=10, deadline=None)
@given(cuts=st.sets(st.integers(1, STEPS - 1), max_size=8), neighbours=st.integers(0, 4))
def test_chunks_and_neighbours_change_no_bit(
    cell: Cell, nonlinearity: Nonlinearity, cuts: set[int], neighbours: int
) -> None:
    """A series alone and at once gives the bits it gives in chunks with other series beside it."""
    run, start, _ = graph(cell, nonlinearity)
    whole = [run(steps()[row : row + 1], start[None], 0) for row in range(5)]
    chosen = list(range(neighbours + 1))
    rows, parts = np.tile(start, (len(chosen), 1)), []
    for chunk in np.split(steps()[chosen], sorted(cuts), axis=1):
        quantiles, rows = run(np.ascontiguousarray(chunk), rows, 0)
        parts.append(quantiles)
    joined = np.concatenate(parts, axis=1)
    for place, row in enumerate(chosen):
        assert joined[place].tobytes() == whole[row][0][0].tobytes()
        assert rows[place].tobytes() == whole[row][1][0].tobytes()


@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS)
def test_single_steps_alone_change_no_bit(cell: Cell, nonlinearity: Nonlinearity) -> None:
    """One step at a time, one series at a time, is the whole batch at once."""
    run, start, _ = graph(cell, nonlinearity)
    whole, after = run(steps(), np.tile(start, (5, 1)), 0)
    for row in range(5):
        state = start[None]
        for step in range(STEPS):
            quantiles, state = run(steps()[row : row + 1, step : step + 1], state, 0)
            assert quantiles[0, 0].tobytes() == whole[row, step].tobytes()
        assert state[0].tobytes() == after[row].tobytes()


def test_the_head_runs_only_from_the_step_asked_for() -> None:
    """``head_from`` drops earlier forecasts and changes nothing else, down to no forecast at all."""
    run, start, _ = graph("lstm", "tanh")
    state = np.tile(start, (5, 1))
    whole, after = run(steps(), state, 0)
    for head_from in (1, STEPS - 1, STEPS):
        quantiles, same = run(steps(), state, head_from)
        assert quantiles.tobytes() == whole[:, head_from:].tobytes()
        assert same.tobytes() == after.tobytes()


def test_quantiles_of_the_graph_never_cross() -> None:
    """The graph keeps what the construction promises."""
    for cell, nonlinearity in CELLS:
        run, start, _ = graph(cell, nonlinearity)
        quantiles, _ = run(steps(), np.tile(start, (5, 1)), 0)
        assert (np.diff(quantiles, axis=-1) >= 0).all()
