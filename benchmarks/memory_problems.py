"""The adding and the copy problem, a network that is trained on them, and how gradients travel in time.

Adding (Hochreiter & Schmidhuber 1997): of ``length`` numbers from 0 to 1 two are marked, one in each half;
tell their sum at the end. Copy (Hochreiter & Schmidhuber 1997; Arjovsky et al. 2016): some symbols are shown,
then ``length`` blanks, then as many signals to give the symbols back in their order.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.cells import Cell, RecurrentStack

Name = Literal["adding", "copy"]
SYMBOLS, SHOWN = 8, 5
_BLANK, _SIGNAL = SYMBOLS, SYMBOLS + 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem at one length.

    Attributes:
        length: numbers to read, or blanks to wait.
        inputs: features of a step.
        outputs: of the network.
        read: last steps whose outputs count.
        chance: error of the best answer that remembers nothing.
    """

    name: Name
    length: int
    inputs: int
    outputs: int
    read: int
    chance: float

    def batch(self, size: int, chance: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Inputs ``[size, time, inputs]`` and what to say at the last ``read`` steps."""
        return (
            _adding(self.length, size, chance)
            if self.name == "adding"
            else _copying(self.length, size, chance)
        )

    def error(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Of outputs ``[size, read, outputs]``: mean squared error, or nats of a symbol."""
        if self.name == "adding":
            return functional.mse_loss(outputs[:, -1, 0], target)
        return functional.cross_entropy(outputs.flatten(0, 1), target.flatten())


def problem(name: Name, length: int) -> Problem:
    """The problem of this name."""
    if name == "adding":
        # The sum of two numbers between 0 and 1 has the variance 1 / 6 around its mean 1.
        return Problem(name, length, inputs=2, outputs=1, read=1, chance=1 / 6)
    return Problem(name, length, inputs=SYMBOLS + 2, outputs=SYMBOLS, read=SHOWN, chance=math.log(SYMBOLS))


def _adding(length: int, size: int, chance: np.random.Generator) -> tuple[Tensor, Tensor]:
    numbers = chance.random((size, length), np.float32)
    marks = np.zeros((size, length), np.float32)
    half, rows = length // 2, np.arange(size)
    first, second = chance.integers(0, half, size), chance.integers(half, length, size)
    marks[rows, first] = marks[rows, second] = 1
    target = numbers[rows, first] + numbers[rows, second]
    return torch.from_numpy(np.stack([numbers, marks], axis=2)), torch.from_numpy(target)


def _copying(length: int, size: int, chance: np.random.Generator) -> tuple[Tensor, Tensor]:
    shown = torch.from_numpy(chance.integers(0, SYMBOLS, (size, SHOWN)))
    blanks = torch.full((size, length), _BLANK)
    signals = torch.full((size, SHOWN), _SIGNAL)
    steps = torch.cat([shown, blanks, signals], dim=1)
    return functional.one_hot(steps, SYMBOLS + 2).float(), shown


ORTHOGONAL = "RNN, orthogonal"
NETWORKS: dict[str, Cell] = {"RNN": "rnn", ORTHOGONAL: "rnn", "LSTM": "lstm", "GRU": "gru"}
"""Vanilla, with PyTorch's usual weights and with orthogonal ones (Saxe et al. 2014); and those with gates."""


class Reader(nn.Module):
    """One recurrent layer and a linear head on its last outputs.

    Args:
        network: one of ``NETWORKS``.
        asked: what it is for.
        hidden: units.
    """

    def __init__(self, network: str, asked: Problem, hidden: int) -> None:
        super().__init__()
        cell = NETWORKS[network]
        self.recurrent = RecurrentStack(cell, asked.inputs, hidden)
        self.head = nn.Linear(hidden, asked.outputs)
        if network == ORTHOGONAL:
            nn.init.orthogonal_(self.recurrent_weights)
        if cell == "lstm":
            # The forget gate begins open (Gers et al. 2000).
            self.recurrent.layers.get_parameter("bias_ih_l0").data[hidden : 2 * hidden] = 1.0

    @property
    def recurrent_weights(self) -> Tensor:
        """Of the state on the next state."""
        return self.recurrent.layers.get_parameter("weight_hh_l0").data

    def forward(self, x: Tensor, read: int) -> Tensor:
        """Outputs ``[batch, read, outputs]`` of the last steps."""
        hidden, _ = self.recurrent(x, self.recurrent.start.expand(len(x), -1))
        outputs: Tensor = self.head(hidden[:, -read:])
        return outputs


@dataclass(frozen=True, slots=True)
class Outcome:
    """How training went.

    Attributes:
        error: on sequences that were not trained on, as a share of chance.
        updates: made until it was solved, or in all.
        solved: whether the error fell below ``SOLVED``.
        curve: error after each round of updates.
        largest: gradient norm of an update, before it was clipped.
    """

    error: float
    updates: int
    solved: bool
    curve: list[float]
    largest: float


SOLVED = 0.05
BATCH, ROUND, HELD_OUT = 32, 100, 500


def train(
    net: Reader,
    asked: Problem,
    *,
    updates: int,
    rate: float,
    clip: float,
    seed: int,
    tell: Callable[[str], None],
) -> Outcome:
    """Train until the error is below ``SOLVED`` of chance, or for so many updates."""
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    x, target = asked.batch(HELD_OUT, np.random.default_rng((seed, 0)))
    curve: list[float] = []
    largest = 0.0
    for update in range(1, updates + 1):
        steps, wanted = asked.batch(BATCH, np.random.default_rng((seed, update)))
        loss = asked.error(net(steps, asked.read), wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch left it untyped
        norm = float(nn.utils.clip_grad_norm_(net.parameters(), clip))
        largest = max(largest, norm)
        if math.isfinite(norm):
            optimizer.step()
        if update % ROUND == 0 or update == updates:
            with torch.no_grad():
                curve.append(float(asked.error(net(x, asked.read), target)) / asked.chance)
            tell(f"{asked.name} {asked.length}: {update} updates, {curve[-1]:.3f} of chance")
            if curve[-1] < SOLVED:
                break
    return Outcome(curve[-1], update, curve[-1] < SOLVED, curve, largest)


def gradient_norms(net: Reader, asked: Problem, size: int, seed: int) -> list[float]:
    """Norm of the gradient of the error at the last step by the state before it, and by all before that.

    The mean over ``size`` sequences, in float64, where what has vanished is still a number. The state is the
    whole row: for an LSTM ``h`` and ``c``.
    """
    net = copy.deepcopy(net).double()
    x, target = asked.batch(size, np.random.default_rng((seed, 0)))
    x, target = x.double(), target.double() if target.is_floating_point() else target
    row = net.recurrent.start.detach().expand(size, -1)
    rows: list[Tensor] = []
    hidden = row
    for step in range(x.shape[1]):
        hidden, row = net.recurrent(x[:, step : step + 1], row)
        row.retain_grad()
        rows.append(row)
    # The last output alone, so that all of a gradient has come all of the way.
    outputs = net.head(hidden)
    error = asked.error(outputs, target if asked.name == "adding" else target[:, -1:])
    (error * size).backward()  # type: ignore[no-untyped-call]  # torch left it untyped
    return [float(one.grad.norm(dim=1).mean()) for one in reversed(rows) if one.grad is not None]
