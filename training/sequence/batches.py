"""Pieces of sequences in padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.sequence.series import Series

_EVALUATION_STEPS = 65_536
MIN_BATCHES = 32
"""Of an epoch: little data is gone over again, cut anew, until there are as many."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded at the end; ``targets [batch, time]`` are NaN there and where none is judged."""

    steps: Tensor
    targets: Tensor


def pieces(series: Sequence[Series], window: int, random: np.random.Generator) -> list[tuple[int, int, int]]:
    """``(series, first, last)`` of pieces of at most ``window`` steps, each with a target, cut at random."""
    found: list[tuple[int, int, int]] = []
    for index, each in enumerate(series):
        places = np.flatnonzero(np.isfinite(each.targets))
        begin, end = int(places[0]), int(places[-1]) + 1
        if len(places) == 1:
            found.append((index, max(0, end - window), end))
            continue
        first = max(0, begin - int(random.integers(window)))
        for cut in range(first, end, window):
            if np.isfinite(each.targets[cut : cut + window]).any():
                found.append((index, cut, min(cut + window, end)))
    return found


def num_batches(series: Sequence[Series], window: int, batch: int) -> int:
    """About how many there are of an epoch."""
    return max(MIN_BATCHES, len(pieces(series, window, np.random.default_rng(0))) // batch)


def training_batches(
    series: Sequence[Series], window: int, batch: int, random: np.random.Generator
) -> Iterator[Batch]:
    """All pieces, those of about equal length together, in random order."""
    cut = pieces(series, window, random)
    while len(cut) < MIN_BATCHES * batch:
        cut += pieces(series, window, random)
    lengths = np.array([last - first for _, first, last in cut])
    order = np.lexsort((random.random(len(cut)), np.round(lengths * random.uniform(0.9, 1.1, len(cut)))))
    groups = [order[first : first + batch] for first in range(0, len(order), batch)]
    for group in random.permutation(len(groups)):
        chosen = [cut[place] for place in groups[group]]
        yield _padded(
            [series[index].steps[first:last] for index, first, last in chosen],
            [series[index].targets[first:last] for index, first, last in chosen],
        )


def whole_batches(series: Sequence[Series]) -> Iterator[tuple[NDArray[np.intp], Batch]]:
    """Whole sequences, shortest first, with their places."""
    order = np.argsort([len(each.steps) for each in series], kind="stable")
    first = 0
    while first < len(order):
        last = first + 1
        while last < len(order) and (last + 1 - first) * len(series[order[last]].steps) <= _EVALUATION_STEPS:
            last += 1
        group = order[first:last]
        yield group, _padded([series[at].steps for at in group], [series[at].targets for at in group])
        first = last


def _padded(steps: Sequence[NDArray[np.generic]], targets: Sequence[NDArray[np.float64]]) -> Batch:
    longest = max(map(len, steps))
    padded = np.zeros((len(steps), longest, *steps[0].shape[1:]), steps[0].dtype)
    known = np.full((len(steps), longest), np.nan)
    for row, (sequence, target) in enumerate(zip(steps, targets, strict=True)):
        padded[row, : len(sequence)] = sequence
        known[row, : len(target)] = target
    return Batch(torch.from_numpy(padded), torch.from_numpy(known))
