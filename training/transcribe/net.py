"""Samples to logits of labels: spectrum, mel bands, convolutions and recurrent layers in one graph.

    samples [batch, time, step] --frames, spectrum, mel--> features --front, layers, head--> logits

A frame reaches back into the step before, whose last samples are a part of the row. So any cut of a sound
gives the same bits. The eighth root stands for the logarithm: square roots alone are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.cells import Cell, Nonlinearity, RecurrentStack
from training.regularise import dropped_recurrent_weights, locked_dropout
from training.transcribe.front import BANDS, FEATURES, HOPS, Front

if TYPE_CHECKING:
    from training.graph import Graph

FRAME_S, HOP_S = 0.025, 0.01
STEP_S = HOPS * HOP_S
_LOWEST_HZ = 60.0
_FLOOR = 1e-6
_ROOTS = 3
_LEAST_DEVIATION = 1e-3
OUTPUT = "logits"


@dataclass(frozen=True, slots=True)
class HearerConfig:
    """Shape and noise of a :class:`Hearer`; ``labels`` includes the blank."""

    labels: int
    sample_rate: int = 8000
    cell: Cell = "gru"
    nonlinearity: Nonlinearity = "tanh"
    channels: int = 24
    hidden: int = 160
    layers: int = 2
    dropout: float = 0.0
    recurrent_dropout: float = 0.0


class Hearer(nn.Module):
    """See the module."""

    mean: Tensor
    deviation: Tensor
    spectrum: Tensor
    mel: Tensor
    averaging: Tensor

    def __init__(self, config: HearerConfig) -> None:
        super().__init__()
        self.config = config
        self.hop = round(HOP_S * config.sample_rate)
        self.frame = round(FRAME_S * config.sample_rate)
        self.register_buffer("spectrum", torch.from_numpy(spectrum_matrix(self.frame)), persistent=False)
        mel = torch.from_numpy(mel_matrix(self.frame, config.sample_rate))
        self.register_buffer("mel", mel, persistent=False)
        self.register_buffer("averaging", torch.full((BANDS, 1), 1 / BANDS), persistent=False)
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("deviation", torch.ones(FEATURES))
        self.front = Front(config.channels, config.hidden)
        self.recurrent = RecurrentStack(
            config.cell, config.hidden, config.hidden, config.layers, config.dropout, config.nonlinearity
        )
        self.head = nn.Linear(config.hidden, config.labels)

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def step_samples(self) -> int:
        return HOPS * self.hop

    @property
    def tail(self) -> int:
        """Samples that the frames of a step reach back."""
        return self.frame - self.hop

    @property
    def step_shape(self) -> tuple[int, ...]:
        return (self.step_samples,)

    @property
    def row_size(self) -> int:
        return self.recurrent.size + self.tail

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        return [*self.recurrent.fields(), ("samples", (self.tail,))]

    def start_row(self) -> Tensor:
        return torch.cat([self.recurrent.start, self.recurrent.start.new_zeros(self.tail)])

    def powers(self, x: Tensor, tail: Tensor) -> Tensor:
        """Of the frequencies of frames, ``[batch, time * HOPS, bins]``.

        Args:
            x: samples ``[batch, time, step_samples]``.
            tail: those before them, ``[batch, tail]``.
        """
        samples = torch.cat([tail, x.flatten(1)], dim=1)
        parts = samples.unfold(1, self.frame, self.hop) @ self.spectrum
        real, imaginary = (parts * parts).chunk(2, dim=2)
        return real + imaginary

    def bands(self, powers: Tensor, mel: Tensor | None = None) -> Tensor:
        """``[batch, frames, FEATURES]``; ``mel`` may be of each sequence another."""
        found = powers @ (self.mel if mel is None else mel) + _FLOOR
        for _ in range(_ROOTS):
            found = found.sqrt()
        level = found @ self.averaging
        return torch.cat([found / level, level], dim=2)

    def features(self, powers: Tensor, mel: Tensor | None = None) -> Tensor:
        """Bands, normalised, ``[batch, time, HOPS, FEATURES]``."""
        found = (self.bands(powers, mel) - self.mean) / self.deviation
        return found.reshape(len(found), -1, HOPS, FEATURES)

    @torch.no_grad()
    def settle(self, powers: Tensor) -> None:
        """Normalise by these, ``[frames, bins]``, from now on."""
        rows = self.bands(powers[None])[0]
        self.mean.copy_(rows.mean(dim=0))
        self.deviation.copy_(rows.std(dim=0).clamp(min=_LEAST_DEVIATION))

    def heard(self, features: Tensor, state: Tensor, head_from: int = 0) -> tuple[Tensor, Tensor]:
        """Features and recurrent state to logits and state."""
        features = locked_dropout(self.front(features), self.config.dropout / 2, self.training)
        with dropped_recurrent_weights(self.recurrent.layers, self.config.recurrent_dropout, self.training):
            hidden, state = self.recurrent(features, state)
        hidden = functional.dropout(hidden[:, head_from:], self.config.dropout, self.training)
        return self.head(hidden), state

    def forward(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Samples and rows ``[batch, row_size]`` to ``logits [batch, read, labels]`` and rows."""
        before, tail = torch.split(state, [self.recurrent.size, self.tail], dim=1)
        logits, after = self.heard(self.features(self.powers(x, tail)), before, head_from)
        return {OUTPUT: logits}, torch.cat([after, x[:, -1, -self.tail :]], dim=1)

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """The same as ONNX nodes."""
        before, tail = g.split(state, [self.recurrent.size, self.tail], axis=1)
        tails = g.op("Concat", g.unsqueeze(tail, axis=1), g.slice(x, -self.tail, None, axis=2), axis=1)
        whole = g.op("Concat", g.slice(tails, 0, -1, axis=1), x, axis=2)
        starts = range(0, self.step_samples, self.hop)
        frames = [g.unsqueeze(g.slice(whole, at, at + self.frame, axis=2), axis=2) for at in starts]
        parts = g.op("MatMul", g.op("Concat", *frames, axis=2), g.constant(self.spectrum))
        bins = self.spectrum.shape[1] // 2
        real, imaginary = g.split(g.op("Mul", parts, parts), [bins, bins], axis=3)
        found = g.op("MatMul", g.op("Add", real, imaginary), g.constant(self.mel))
        found = g.op("Add", found, g.scalar(_FLOOR))
        for _ in range(_ROOTS):
            found = g.op("Sqrt", found)
        level = g.op("MatMul", found, g.constant(self.averaging))
        found = g.op("Concat", g.op("Div", found, level), level, axis=3)
        found = g.op("Div", g.op("Sub", found, g.constant(self.mean)), g.constant(self.deviation))
        hidden, after = self.recurrent.emit(g, self.front.emit(g, found), before)
        logits = g.linear(g.slice_time(hidden, head_from), self.head.weight, self.head.bias)
        last = g.squeeze(g.slice(tails, -1, None, axis=1), axis=1)
        return {OUTPUT: logits}, g.op("Concat", after, last, axis=1)


def spectrum_matrix(frame: int) -> NDArray[np.float32]:
    """``[frame, 2 * bins]``: a Hann window and the cosines, then the sines, of a Fourier transform."""
    time, bins = np.arange(frame), np.arange(frame // 2 + 1)
    angles = 2 * np.pi * np.outer(time, bins) / frame
    window = np.hanning(frame)[:, None]
    return np.concatenate([np.cos(angles) * window, np.sin(angles) * window], axis=1).astype(np.float32)


def mel_matrix(frame: int, rate: int, warp: float = 1.0) -> NDArray[np.float32]:
    """Triangles on the mel scale, ``[bins, BANDS]``; ``warp`` stretches the axis of frequencies.

    Stretching it stands for another length of the vocal tract (Jaitly & Hinton 2013).
    """
    highest = 0.475 * rate
    frequencies = np.minimum(np.linspace(0, rate / 2, frame // 2 + 1) * warp, rate / 2)
    mels = np.linspace(_mel(_LOWEST_HZ), _mel(highest), BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    # Low triangles are narrower than a bin; at least so wide none is empty.
    width, middle = rate / frame, edges[1:-1]
    left, right = np.minimum(edges[:-2], middle - width), np.maximum(edges[2:], middle + width)
    rising = (frequencies[:, None] - left) / (middle - left)
    falling = (right - frequencies[:, None]) / (right - middle)
    return np.clip(np.minimum(rising, falling), 0, None).astype(np.float32)


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))
