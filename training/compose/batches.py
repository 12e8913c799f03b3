"""Pieces side by side, cut into windows that follow each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from app.tasks.compose.music import NOTHING
from training.compose.corpus import Streams

_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Batch:
    """A window ``[batch, time]``: tokens, the ones that follow, and which of these count.

    ``fresh`` is the first window of its pieces; any other goes on where the one before ended.
    """

    tokens: Tensor
    targets: Tensor
    counts: Tensor
    fresh: bool


def num_batches(lengths: list[int], batch: int, window: int) -> int:
    """About how many there are of an epoch."""
    ordered = sorted(lengths)
    groups = [ordered[first : first + batch] for first in range(0, len(ordered), batch)]
    return sum(-(-group[-1] // window) for group in groups)


def training_batches(
    streams: Streams, batch: int, window: int, random: np.random.Generator
) -> Iterator[Batch]:
    """All pieces once, those of about equal length side by side, groups in random order."""
    lengths = np.array([len(tokens) for tokens, _ in streams])
    order = np.argsort(lengths * random.uniform(1 - _JITTER, 1 + _JITTER, len(lengths)), kind="stable")
    groups = [order[first : first + batch] for first in range(0, len(order), batch)]
    for group in random.permutation(len(groups)):
        yield from windows([streams[index] for index in groups[group]], window)


def windows(streams: Streams, window: int) -> Iterator[Batch]:
    """The windows of some streams, side by side; the shorter ones are padded."""
    longest = max(len(tokens) for tokens, _ in streams)
    tokens = np.full((len(streams), longest + 1), NOTHING, np.int64)
    counts = np.zeros((len(streams), longest), np.bool_)
    for row, (stream, scored) in enumerate(streams):
        tokens[row, 1 : len(stream) + 1] = stream
        counts[row, : len(scored)] = scored
    for first in range(0, longest, window):
        last = min(first + window, longest)
        yield Batch(
            torch.from_numpy(tokens[:, first:last]),
            torch.from_numpy(tokens[:, first + 1 : last + 1]),
            torch.from_numpy(counts[:, first:last]),
            first == 0,
        )
