"""A global probabilistic forecaster: one observation a step in, quantiles for every horizon out.

After MQ-RNN (Wen et al. 2017, "A Multi-Horizon Quantile Recurrent Forecaster"): a recurrent
network reads the series, and at every step a local network, shared by all horizons, turns the
context and what is known about each horizon into quantiles, with no sampling loop. Here that
knowledge is what the series did one and two seasons before the horizon, so the network starts at
seasonal-naive quality and learns when to trust which season.

Everything that normalises a series is part of the state row: a buffer of the last values, and
exponentially forgetting means of seasonal differences. See ``app.features.series`` for the columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from app.features import series as columns
from app.features.frequency import MAX_SEASON
from training.cells import Cell, Nonlinearity, RecurrentStack
from training.forecast.quantiles import LEVELS, MIN_GAP, mixing_matrix, squareplus, squash
from training.forecast.view import Prediction, View

if TYPE_CHECKING:
    from training.graph import Graph

BUFFER = 2 * MAX_SEASON
# The farthest horizon whose seasonal values, two seasons back, lie in the buffer for every season.
MAX_HORIZON = 112
# Forgetting of the mean absolute differences: half of a mean's weight lies within 355 steps.
DECAY = 1.0 - 1.0 / 512.0
# Variation below this part of the level is float32 noise; below the second, anything is.
RELATIVE_FLOOR = 1e-6
ABSOLUTE_FLOOR = 1e-20

NUM_FEATURES = 27
NUM_HORIZON_FEATURES = 16
NUM_CANDIDATES = 8
NUM_SCALES = 4

# lag = weights @ (season, long_season) + offset, for what a step sees of its own past and phase.
LAG_WEIGHTS = ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 0), (0, 1))
LAG_OFFSETS = (1, 0, 0, 0, 0, -1, -1)
NUM_LAGS = len(LAG_OFFSETS)
# Which mean difference a difference is measured in: one-step (0) or seasonal (1). In a smooth seasonal
# series they lie orders of magnitude apart.
LAG_SCALES = (0, 1, 1, 1, 1, 0, 0)


@dataclass(frozen=True, slots=True)
class ForecasterConfig:
    """Shape of a forecaster.

    Args:
        cell, nonlinearity, layers, hidden, dropout: of the recurrent stack.
        horizon: steps ahead that every step predicts.
        levels: quantile levels, ascending; one must be 0.5.
        num_frequencies: rows of the frequency embedding, the first being "other".
        frequency_size: features of a row.
        local: units of the local network.
    """

    cell: Cell = "lstm"
    nonlinearity: Nonlinearity = "tanh"
    layers: int = 2
    hidden: int = 64
    dropout: float = 0.0
    horizon: int = 48
    levels: tuple[float, ...] = LEVELS
    num_frequencies: int = 16
    frequency_size: int = 6
    local: int = 64


class Forecaster(nn.Module):
    """The network; ``forward`` takes and returns the whole state."""

    step_shape = (columns.NUM_COLUMNS,)
    horizons: Tensor
    lag_weights: Tensor
    lag_offsets: Tensor
    lag_scales: Tensor
    mixing: Tensor
    levels: Tensor

    def __init__(self, config: ForecasterConfig) -> None:
        super().__init__()
        self.config = config
        self.frequency = nn.Embedding(config.num_frequencies, config.frequency_size)
        nn.init.zeros_(self.frequency.weight)
        self.recurrent = RecurrentStack(
            config.cell,
            NUM_FEATURES + config.frequency_size,
            config.hidden,
            config.layers,
            config.dropout,
            config.nonlinearity,
        )
        num_gaps = len(config.levels) - 1
        self.context = nn.Linear(config.hidden, config.local)
        self.known = nn.Linear(NUM_HORIZON_FEATURES, config.local, bias=False)
        self.place = nn.Parameter(torch.randn(config.horizon, config.local) * 0.1)
        self.local = nn.Linear(config.local, NUM_CANDIDATES + 2 + num_gaps)
        self.scales = nn.RNN(1, 1, nonlinearity="relu", bias=False)
        self.scales.requires_grad_(False)
        with torch.no_grad():
            for weight, value in zip(self.scales.parameters(), (1.0, DECAY), strict=True):
                weight.fill_(value)
            self.local.weight.mul_(0.1)
            self.local.bias.zero_()
            # Of the mixed candidates, 0 is the last value and 1 the value one season before.
            self.local.bias[1] = 2.0
            # squareplus(-1) is about 0.6 scales between neighbouring quantiles to begin with.
            self.local.bias[NUM_CANDIDATES + 2 :] = -1.0
        self.register_buffer("horizons", torch.arange(1.0, config.horizon + 1), persistent=False)
        self.register_buffer(
            "lag_weights", torch.tensor(LAG_WEIGHTS, dtype=torch.float32).T, persistent=False
        )
        self.register_buffer("lag_offsets", torch.tensor(LAG_OFFSETS, dtype=torch.float32), persistent=False)
        self.register_buffer("lag_scales", torch.eye(2)[list(LAG_SCALES)].T.contiguous(), persistent=False)
        self.median = config.levels.index(0.5)
        self.register_buffer("levels", torch.tensor(config.levels), persistent=False)
        self.register_buffer("mixing", mixing_matrix(config.levels, NUM_CANDIDATES + 1), persistent=False)

    @property
    def horizon(self) -> int:
        return self.config.horizon

    @property
    def quantile_levels(self) -> tuple[float, ...]:
        return self.config.levels

    @property
    def row_size(self) -> int:
        return sum(math.prod(shape) for _, shape in self.fields())

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of each part of the row, in row order.

        ``past`` are the last values, gaps filled with the value before; ``age`` counts steps since
        the first observation; ``scales`` are forgetting sums of one-step and seasonal absolute
        differences and of their weights.
        """
        return [*self.recurrent.fields(), ("past", (BUFFER,)), ("age", (1,)), ("scales", (NUM_SCALES,))]

    def start_row(self) -> Tensor:
        return torch.cat(
            [self.recurrent.start, self.recurrent.start.new_zeros(self.row_size - self.recurrent.size)]
        )

    def forward(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Consume ``x`` and forecast after each step from ``head_from`` on.

        Args:
            x: ``[batch, time, 12]``, columns as in ``app.features.series``.
            state: ``[batch, row_size]``.
            head_from: first step whose forecast is wanted.

        Returns:
            ``{"quantiles": [batch, time - head_from, horizon, levels]}`` and the next row.
        """
        hidden, view, after = self.read(x, state)
        steps = torch.arange(head_from, x.shape[1], device=x.device).expand(x.shape[0], -1)
        return {"quantiles": self.predict(hidden, view, steps).quantiles}, after

    def forecast_at(self, x: Tensor, steps: Tensor) -> Tensor:
        """Forecasts of new series after chosen steps.

        Args:
            x: ``[batch, time, 12]``.
            steps: ``[batch, num]`` positions on the time axis.

        Returns:
            ``[batch, num, horizon, levels]``.
        """
        device = self.place.device
        with torch.no_grad():
            hidden, view, _ = self.read(x.to(device), self.start_row().expand(x.shape[0], -1))
            # The head's memory grows with the steps read, so a long series is read in parts.
            parts = [
                self.predict(hidden, view, part).quantiles.cpu()
                for part in torch.split(steps.to(device), 512, 1)
            ]
        return torch.cat(parts, 1)

    def observe(self, x: Tensor, state: Tensor) -> tuple[View, Tensor]:
        """The part without recurrent weights: fill gaps, update buffer, age and scales.

        Returns:
            What the steps see, and the row's part after the recurrent one.
        """
        batch, time, _ = x.shape
        past, age, sums = torch.split(state[:, self.recurrent.size :], [BUFFER, 1, NUM_SCALES], dim=1)
        observed = x[..., columns.OBSERVED]
        seen = observed > 0
        order = seen.long().cumsum(1)
        # Observed values are packed behind the carried one, missing ones go to a place nobody reads;
        # the n-th packed value is then the latest at every step up to the next observation.
        target = torch.where(seen, order, time + 1)
        packed = torch.cat([past[:, -1:], x.new_zeros(batch, time + 1)], 1)
        packed = packed.scatter(1, target, x[..., columns.VALUE])
        filled = packed.gather(1, order)
        buffer = torch.cat([past, filled], 1)
        begun = ((order > 0) | (age > 0)).float()
        ages = torch.cat([age, begun], 1).cumsum(1)[:, 1:]
        seasons = x[..., columns.SEASON : columns.LONG_SEASON + 1]
        lags = seasons @ self.lag_weights + self.lag_offsets
        valid = (ages.unsqueeze(2) > lags).float()
        index = torch.arange(BUFFER, BUFFER + time, device=x.device)[None, :, None] - lags.long()
        lagged = buffer.gather(1, index.reshape(batch, -1)).reshape(batch, time, NUM_LAGS)
        differences = (filled.unsqueeze(2) - lagged) * valid
        weights = valid[..., :2] * observed.unsqueeze(2)
        amounts = torch.cat([differences[..., :2].abs() * weights, weights], 2)
        stacked = amounts.transpose(0, 1).reshape(time, batch * NUM_SCALES, 1)
        means, last_sums = self.scales(stacked, sums.reshape(1, batch * NUM_SCALES, 1))
        means = means.reshape(time, batch, 2, 2).transpose(0, 1)
        single, seasonal = torch.split(means[:, :, 0] / means[:, :, 1].clamp_min(1e-9), 1, dim=2)
        scale = torch.where(means[:, :, 1, 1:] > 0, seasonal, single)
        # A series that repeats exactly has no seasonal variation, but moves: its level alone is no measure.
        floor = filled.unsqueeze(2).abs().maximum(single) * RELATIVE_FLOOR
        scales = torch.cat([single, scale], 2).maximum(floor).clamp_min(ABSOLUTE_FLOOR)
        view = View(filled, buffer, ages, seasons, differences, valid, means[:, :, 1], scales)
        after = torch.cat([buffer[:, -BUFFER:], ages[:, -1:], last_sums.reshape(batch, NUM_SCALES)], 1)
        return view, after

    def read(self, x: Tensor, state: Tensor) -> tuple[Tensor, View, Tensor]:
        """Everything below the head: hidden states ``[batch, time, hidden]``, view, next row."""
        with torch.no_grad():
            view, after = self.observe(x, state)
            level = view.filled.unsqueeze(2).abs()
            single, scale = torch.split(view.scales, 1, dim=2)
            known = torch.cat(
                [
                    squash(view.differences / (view.scales @ self.lag_scales)),
                    squash(view.filled.unsqueeze(2) / scale),
                    single / (single + scale),
                    scale / (level + scale),
                    view.valid[..., 1:5],
                    view.weights / (view.weights + 16.0),
                    view.seasons / MAX_SEASON,
                    x[..., columns.OBSERVED, None],
                    x[..., columns.HAS_TIME :],
                    view.age.unsqueeze(2) / (view.age.unsqueeze(2) + 64.0),
                ],
                2,
            )
        embedded = self.frequency(x[..., columns.FREQUENCY].long())
        hidden, recurrent = self.recurrent(torch.cat([known, embedded], 2), state[:, : self.recurrent.size])
        return hidden, view, torch.cat([recurrent, after], 1)

    def predict(self, hidden: Tensor, view: View, steps: Tensor) -> Prediction:
        """Run the head at chosen steps.

        Args:
            hidden: ``[batch, time, hidden]``.
            view: of the same steps.
            steps: ``[batch, num]`` positions on the time axis.
        """
        batch, num = steps.shape
        horizon = self.config.horizon
        with torch.no_grad():
            last = view.filled.gather(1, steps)[..., None, None]
            pair = steps.unsqueeze(2).expand(-1, -1, 2)
            single, scale = torch.split(view.scales.gather(1, pair).unsqueeze(2), 1, dim=3)
            age = view.age.gather(1, steps)[..., None, None]
            seasons = view.seasons.gather(1, steps.unsqueeze(2).expand(-1, -1, 2)).unsqueeze(2)
            ahead = self.horizons[:, None]
            back = torch.ceil(ahead / seasons) * seasons
            back = torch.cat([back, back + seasons], 3)
            lags = torch.cat([back - ahead, back], 3)
            index = (BUFFER + steps)[..., None, None] - lags.long()
            values = view.buffer.gather(1, index.reshape(batch, -1)).reshape(batch, num, horizon, 8)
            valid = (age > lags).float()
            future, anchor = torch.split(values, 4, dim=3)
            drifting = valid[..., 4:]
            plain = (future - last) * valid[..., :4] / scale
            moved = (future - anchor) * drifting / scale
            candidates = torch.cat([plain, moved], 3)
            seasonal = candidates[..., :1]
            relative = torch.cat([seasonal * (scale / single), candidates[..., 1:] - seasonal], 3)
            known = torch.cat([squash(torch.cat([relative, future / scale], 3)), drifting], 3)
        chosen = hidden.gather(1, steps.unsqueeze(2).expand(-1, -1, hidden.shape[2]))
        mixed = self.context(chosen).unsqueeze(2) + self.known(known) + self.place
        sizes = [NUM_CANDIDATES + 1, 1, len(self.config.levels) - 1]
        logits, rest, gaps = torch.split(self.local(torch.relu(mixed)), sizes, dim=3)
        weights = torch.softmax(logits, 3)[..., 1:]
        parts = torch.cat([weights * candidates, rest, squareplus(gaps) + MIN_GAP], 3)
        return Prediction(parts @ self.mixing, last, single, scale, seasonal)

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """Write the same computation as ONNX nodes; see ``training.forecast.emit``."""
        from training.forecast.emit import emit_forecaster

        return emit_forecaster(self, g, x, state, head_from)
