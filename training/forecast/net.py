"""A global probabilistic forecaster: one observation a step in, quantiles for every horizon out.

After MQ-RNN (Wen et al. 2017, "A Multi-Horizon Quantile Recurrent Forecaster"): a recurrent network
reads the series, and at every step a local network, shared by all horizons, turns the context and
what is known about each horizon into quantiles, with no sampling loop. What is known are forecasts by
rule (:mod:`training.forecast.candidates`), which the head mixes, adding what they miss.

Nothing the network reads depends on the unit or the level of a series, so ``f(a x + b) = a f(x) + b``
for ``a > 0``. For ``a < 0`` it holds because the same weights read the series and its mirror image, and
the forecast is the mean of the first and the second mirrored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from app.features import series as columns
from training.cells import Cell, Nonlinearity, RecurrentStack
from training.forecast.beside import NONE, Beside
from training.forecast.candidates import (
    NUM_CANDIDATES,
    NUM_KNOWN,
    PARABOLA,
    SEASONAL_NAIVE,
    SETTLING,
    candidates,
    known,
)
from training.forecast.look_back import View
from training.forecast.memory import NUM_EVEN, NUM_ODD, Memory, observe
from training.forecast.ops import TorchOps
from training.forecast.quantiles import LEVELS, MIN_GAP, mixing_matrix, squareplus
from training.forecast.view import Prediction

if TYPE_CHECKING:
    from training.graph import Graph

# The farthest horizon whose seasonal values, two seasons back, lie in the buffer for every season.
MAX_HORIZON = 112
# Where a rule has erred by less than a fourth of a scale, less and less is added to what the rules say.
SURE = 4.0
# The logit of a candidate that begins with little weight.
UNUSED = -3.0


@dataclass(frozen=True, slots=True)
class ForecasterConfig:
    """Shape of a forecaster.

    Args:
        cell, nonlinearity, layers, hidden, dropout: of the recurrent stack.
        horizon: steps ahead that every step predicts.
        levels: quantile levels, ascending and symmetric around 0.5, which is one of them.
        num_frequencies: rows of the frequency embedding, the first being "other".
        frequency_size: features of a row.
        local: units of the local network.
        beside: covariates.
    """

    cell: Cell = "lstm"
    nonlinearity: Nonlinearity = "tanh"
    layers: int = 2
    hidden: int = 48
    dropout: float = 0.0
    horizon: int = 48
    levels: tuple[float, ...] = LEVELS
    num_frequencies: int = 16
    frequency_size: int = 6
    local: int = 48
    beside: Beside = NONE


class Forecaster(nn.Module):
    """The network; ``forward`` takes and returns the whole state."""

    levels: Tensor
    mixing: Tensor
    mirrored: Tensor
    narrowing: Tensor
    """``[horizon]``, by which share intervals of a settled series are narrower: found on validation parts."""

    def __init__(self, config: ForecasterConfig) -> None:
        super().__init__()
        self.config = config
        self.step_shape = (config.beside.columns(config.horizon),)
        self.frequency = nn.Embedding(config.num_frequencies, config.frequency_size)
        nn.init.zeros_(self.frequency.weight)
        self.recurrent = RecurrentStack(
            config.cell,
            NUM_ODD + NUM_EVEN + config.frequency_size + config.beside.read,
            config.hidden,
            config.layers,
            config.dropout,
            config.nonlinearity,
        )
        num_gaps = len(config.levels) - 1
        self.context = nn.Linear(config.hidden, config.local)
        self.known = nn.Linear(NUM_KNOWN + config.beside.heard, config.local, bias=False)
        self.place = nn.Parameter(torch.randn(config.horizon, config.local) * 0.1)
        self.local = nn.Linear(config.local, NUM_CANDIDATES + 1 + num_gaps)
        with torch.no_grad():
            self.local.weight.mul_(0.1)
            self.local.bias.zero_()
            # Training begins close to the seasonal naive forecast.
            self.local.bias[SEASONAL_NAIVE] = 7.0
            self.local.bias[PARABOLA] = UNUSED
            self.known.weight[:, NUM_KNOWN:] = 0.0
        self.median = config.levels.index(0.5)
        self.register_buffer("levels", torch.tensor(config.levels), persistent=False)
        mixing = mixing_matrix(config.levels, NUM_CANDIDATES + 1)
        self.register_buffer("mixing", mixing, persistent=False)
        # Of the mirror image, what is added counts the other way round, and the gaps in reverse.
        order = [*range(NUM_CANDIDATES + 1), *reversed(range(NUM_CANDIDATES + 1, len(mixing)))]
        mirrored = mixing[order].clone()
        mirrored[NUM_CANDIDATES] *= -1.0
        self.register_buffer("mirrored", mirrored, persistent=False)
        self.register_buffer("narrowing", torch.zeros(config.horizon))

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
        """Name and shape of each part of the row, in row order; see :class:`training.forecast.memory.Memory`.

        The recurrent part is there twice: of the series, and of its mirror image.
        """
        layers = self.recurrent.fields()
        mirrored = [(f"mirrored.{name}", shape) for name, shape in layers]
        memory = dict(Memory.sizes())
        if self.config.beside.known:
            memory["covariates"] = self.config.beside.remembered
        return [*layers, *mirrored, *((name, (size,)) for name, size in memory.items())]

    def start_memory(self, size: int) -> Tensor:
        """``[size, k]``: what :meth:`observe` begins with."""
        remembered = sum(Memory.sizes().values()) + self.config.beside.remembered
        return self.recurrent.start.new_zeros(size, remembered)

    def start_row(self) -> Tensor:
        start = self.recurrent.start
        return torch.cat([start, start, self.start_memory(1)[0]])

    def forward(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Consume ``x`` and forecast after each step from ``head_from`` on.

        Args:
            x: ``[batch, time, 12]``, columns as in ``app.features.series``; with covariates more, as in
                ``app.tasks.forecast.covariate_spec``.
            state: ``[batch, row_size]``.
            head_from: first step whose forecast is wanted.

        Returns:
            ``{"quantiles": [batch, time - head_from, horizon, levels]}`` and the next row.
        """
        hidden, view, after = self.read(x, state)
        steps = torch.arange(head_from, x.shape[1], device=x.device).expand(x.shape[0], -1)
        return {"quantiles": self.quantiles(hidden, view, steps)}, after

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
                self.quantiles(hidden, view, part).cpu()
                for part in torch.split(steps.to(device), max(1, 4096 // len(x)), 1)
            ]
        return torch.cat(parts, 1)

    def observe(self, x: Tensor, rows: Tensor) -> tuple[View[Tensor], Tensor]:
        """The part without weights: what the steps see, and the row's part after the recurrent one."""
        sizes, beside = Memory.sizes(), self.config.beside
        *parts, past = torch.split(rows, [*sizes.values(), beside.remembered], dim=1)
        ops = TorchOps(x.device)
        with torch.no_grad():
            plain = x[..., : columns.NUM_COLUMNS]
            view, after = observe(ops, plain, Memory(**dict(zip(sizes, parts, strict=True))))
            rows = torch.cat(after, 1)
            if beside.num:
                covariates, passed = x[..., columns.NUM_COLUMNS :], None
                if beside.known:
                    passed, past = beside.remember(ops, covariates, past)
                    rows = torch.cat([rows, past], 1)
                view = view.with_covariates(covariates, passed)
        return view, rows

    def features(self, view: View[Tensor], sign: Tensor | float) -> Tensor:
        """What the recurrent layers read of a series, or of its mirror image (``sign`` -1)."""
        embedded = self.frequency(view.frequency[..., 0].long())
        read = [view.odd * sign, *view.even, embedded]
        if view.covariates is not None:
            read += _by_sign(view.covariates[..., : self.config.beside.num], sign)
        return torch.cat(read, 2)

    def read(self, x: Tensor, state: Tensor) -> tuple[Tensor, View[Tensor], Tensor]:
        """Everything below the head: hidden states ``[2 batch, time, hidden]``, view, next row."""
        size = self.recurrent.size
        rows = torch.cat([state[:, :size], state[:, size : 2 * size]])
        view, after = self.observe(x, state[:, 2 * size :])
        both = torch.cat([self.features(view, sign) for sign in (1.0, -1.0)])
        hidden, recurrent = self.recurrent(both, rows)
        return hidden, view, torch.cat([*recurrent.chunk(2), after], 1)

    def quantiles(self, hidden: Tensor, view: View[Tensor], steps: Tensor) -> Tensor:
        """Quantiles ``[batch, num, horizon, levels]`` at chosen steps ``[batch, num]``.

        Args:
            hidden: ``[2 batch, time, hidden]``, of the series and of their mirror images.
            view: of the same steps.
            steps: positions on the time axis.
        """
        plain, turned = hidden.chunk(2)
        straight = self.predict(plain, view, steps, 1.0)
        mirrored = self.predict(turned, view, steps, -1.0)
        offsets = (straight.parts @ self.mixing + mirrored.parts @ self.mirrored) * 0.5
        return straight.anchor + straight.unit * offsets

    def predict(self, hidden: Tensor, view: View[Tensor], steps: Tensor, sign: Tensor | float) -> Prediction:
        """Run the head at chosen steps, on the series or on its mirror image.

        Args:
            hidden: ``[batch, time, hidden]``.
            view: of the same steps.
            steps: ``[batch, num]`` positions on the time axis.
            sign: 1 or -1, or one for each series, ``[batch, 1, 1]``.
        """
        with torch.no_grad():
            told, position = (_at(each, steps)[:, :, None, None] for each in (view.told, view.position))
            ops = TorchOps(hidden.device)
            found = candidates(ops, told, position, view.buffer, self.config.horizon)
            flips = sign if isinstance(sign, float) else sign[..., None, None]
            parts = [known(ops, found) * flips, found.found]
            if view.passed is not None and view.covariates is not None:
                here = _at(view.covariates, steps)[:, :, None, None]
                more = self.config.beside.hear(
                    ops, here, view.passed, told, position, found.found, self.config.horizon
                )
                parts += _by_sign(more, flips)
            heard = torch.cat(parts, 4).squeeze(3)
            settled = (found.age / SETTLING - 1.0).clamp(0.0, 1.0)
            width = found.noise * (1.0 - self.narrowing[:, None, None] * settled)
            values, doubt, noise, width, *rest = (
                each.squeeze(3)
                for each in (
                    found.values,
                    found.doubt,
                    found.noise,
                    width,
                    found.anchor,
                    found.scale,
                    found.unit,
                )
            )
        mixed = self.context(_at(hidden, steps)).unsqueeze(2) + self.known(heard) + self.place
        sizes = [NUM_CANDIDATES, 1, len(self.config.levels) - 1]
        logits, more, gaps = torch.split(self.local(torch.relu(mixed)), sizes, dim=3)
        said = [
            torch.softmax(logits - doubt, 3) * values,
            more * (noise * (noise * SURE).clamp_max(1.0)),
            (squareplus(gaps) + MIN_GAP) * width,
        ]
        return Prediction(torch.cat(said, 3), *rest)

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """Write the same computation as ONNX nodes; see ``training.forecast.emit``."""
        from training.forecast.emit import emit_forecaster

        return emit_forecaster(self, g, x, state, head_from)


def _by_sign(x: Tensor, sign: Tensor | float) -> list[Tensor]:
    """``x`` and nothing for the series, nothing and ``x`` for its mirror image."""
    straight = torch.as_tensor(sign, device=x.device) > 0
    return [x * straight, x * ~straight]


def _at(x: Tensor, steps: Tensor) -> Tensor:
    """Chosen steps ``[batch, num]`` of ``[batch, time, k]``."""
    x = x.expand(len(steps), -1, -1)
    return x.gather(1, steps.unsqueeze(2).expand(-1, -1, x.shape[2]))
