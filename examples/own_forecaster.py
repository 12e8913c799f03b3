"""A forecaster of your own: a network for numbers, written once for PyTorch and once for ONNX.

    .venv/bin/python examples/own_forecaster.py models

A GRU that forecasts six steps, trained on a monthly series in a few seconds. ``forward`` and ``emit``
say the same; the export runs both and refuses the bundle when they differ.
"""

from __future__ import annotations

import csv
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from app.bundle.manifest import Quality
from app.features.frequency import parse_frequency
from app.features.series import CALENDAR, COLUMNS, OBSERVED, VALUE, SeriesKind, encode
from app.tasks.forecast.spec import ForecastSpec, Frequency
from training.cells import RecurrentStack
from training.export import describe_run, export_bundle
from training.graph import Graph

HORIZON, SEASON = 6, 12
LEVELS = (0.1, 0.5, 0.9)
LENGTH, BATCH, STEPS = 60, 16, 200
SERIES = Path(__file__).parent / "airline-passengers.csv"


class OwnForecaster(nn.Module):
    """Each step yields quantiles of the next steps, in units of the mean so far.

    The row holds the GRU's state and, for that mean, the sum and the number of the values so far.
    """

    step_shape = (len(COLUMNS),)

    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.recurrent = RecurrentStack("gru", 2 + len(COLUMNS) - CALENDAR, hidden)
        self.head = nn.Linear(hidden, HORIZON * len(LEVELS))

    @property
    def row_size(self) -> int:
        """Floats in the row."""
        return self.recurrent.size + 2

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of each part of the row, in row order."""
        return [*self.recurrent.fields(), ("sum", (1,)), ("count", (1,))]

    def start_row(self) -> Tensor:
        """The row before the first value."""
        return torch.cat([self.recurrent.start, torch.zeros(2)])

    def forward(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Steps ``[batch, time, 12]`` and rows to ``quantiles [batch, read, horizon, levels]`` and rows."""
        hidden, total, count = torch.split(state, [self.recurrent.size, 1, 1], dim=1)
        value, observed = x[:, :, VALUE : VALUE + 1], x[:, :, OBSERVED : OBSERVED + 1]
        totals = torch.cat([total[:, None], value.abs()], dim=1).cumsum(dim=1)[:, 1:]
        counts = torch.cat([count[:, None], observed], dim=1).cumsum(dim=1)[:, 1:]
        mean = (totals + 1e-6) / (counts + 1e-6)
        y, hidden = self.recurrent(torch.cat([value / mean, observed, x[:, :, CALENDAR:]], dim=2), hidden)
        ahead = self.head(y[:, head_from:]) * mean[:, head_from:]
        quantiles = ahead.reshape(*ahead.shape[:2], HORIZON, len(LEVELS))
        return {"quantiles": quantiles}, torch.cat([hidden, totals[:, -1], counts[:, -1]], dim=1)

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """The same as ONNX nodes."""
        hidden, total, count = g.split(state, [self.recurrent.size, 1, 1], axis=1)
        value = g.slice(x, VALUE, VALUE + 1, axis=2)
        observed = g.slice(x, OBSERVED, OBSERVED + 1, axis=2)
        totals = running_sum(g, total, g.op("Abs", value))
        counts = running_sum(g, count, observed)
        small = g.scalar(1e-6)
        mean = g.op("Div", g.op("Add", totals, small), g.op("Add", counts, small))
        calendar = g.slice(x, CALENDAR, None, axis=2)
        features = g.op("Concat", g.op("Div", value, mean), observed, calendar, axis=2)
        y, hidden = self.recurrent.emit(g, features, hidden)
        ahead = g.linear(g.slice_time(y, head_from), self.head.weight, self.head.bias)
        ahead = g.op("Mul", ahead, g.slice_time(mean, head_from))
        quantiles = g.op("Reshape", ahead, g.ints(0, 0, HORIZON, len(LEVELS)))
        last = [g.squeeze(g.slice(part, -1, None, axis=1), axis=1) for part in (totals, counts)]
        return {"quantiles": quantiles}, g.op("Concat", hidden, *last, axis=1)


def running_sum(g: Graph, carried: str, values: str) -> str:
    """Sums so far, the carried one first: the same additions however a series is cut."""
    parts = g.op("Concat", g.unsqueeze(carried, axis=1), values, axis=1)
    return g.slice(g.op("CumSum", parts, g.constant(np.asarray(1, np.int64))), 1, None, axis=1)


def train(net: OwnForecaster, x: Tensor) -> None:
    """Fit the network to windows of a series ``[time, 12]``, scoring every step's forecast."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    levels = torch.tensor(LEVELS)
    for _ in range(STEPS):
        starts = torch.randint(len(x) - LENGTH - HORIZON, (BATCH,)).tolist()
        windows = torch.stack([x[start : start + LENGTH + HORIZON] for start in starts])
        quantiles = net(windows[:, :LENGTH], net.start_row()[None].repeat(BATCH, 1))[0]["quantiles"]
        truth = windows[:, 1:, VALUE].unfold(1, HORIZON, 1)
        error = (truth[..., None] - quantiles) / truth.mean()
        loss = torch.maximum(levels * error, (levels - 1) * error).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()


def measure(net: OwnForecaster, x: Tensor) -> Quality:
    """Mean absolute error of forecasts of the last year, beside that of the year before."""
    values = x[:, VALUE]
    origins = range(len(x) - SEASON, len(x) - HORIZON + 1)
    with torch.no_grad():
        medians = net(x[None], net.start_row()[None])[0]["quantiles"][0, :, :, LEVELS.index(0.5)]
    truths = [values[origin : origin + HORIZON] for origin in origins]
    naive = [values[origin - SEASON : origin - SEASON + HORIZON] for origin in origins]
    errors = [(truth - medians[o - 1]).abs().mean() for o, truth in zip(origins, truths, strict=True)]
    others = [(truth - past).abs().mean() for truth, past in zip(truths, naive, strict=True)]
    return Quality(
        metric=f"mean absolute error at 1-{HORIZON} steps",
        dataset=SERIES.name,
        split="last 12 months",
        value=float(sum(errors) / len(errors)),
        higher_is_better=False,
        baselines={"seasonal naive": float(sum(others) / len(others))},
    )


def main(out: Path) -> None:
    """Train, measure and export."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with SERIES.open() as file:
        values = [float(row["passengers"]) for row in csv.DictReader(file)]
    kind = SeriesKind(parse_frequency("MS"), index=1, season=SEASON, long_season=SEASON)
    x = torch.from_numpy(encode(values, datetime(1949, 1, 1), kind))
    net = OwnForecaster()
    train(net, x[:-SEASON])
    quality = measure(net, x)
    folder = export_bundle(
        net,
        out=out,
        name="own-forecaster",
        version="1",
        description="Six months ahead, trained on airline passengers.",
        spec=ForecastSpec(
            horizon=HORIZON,
            quantiles=LEVELS,
            columns=COLUMNS,
            window=1,
            frequencies={"MS": Frequency(index=1, season=SEASON, long_season=SEASON)},
        ),
        provenance=describe_run("python examples/own_forecaster.py models", seed=0),
        quality=[quality],
        golden_steps=x[None, :40].numpy(),
    )
    (naive,) = quality.baselines.values()
    print(f"wrote {folder}, {quality.metric} {quality.value:.1f} (seasonal naive {naive:.1f})")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
