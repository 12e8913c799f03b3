"""Strings in padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from app.tasks.transcribe.ctc import BLANK
from training.transcribe.strings import String

UNTOLD = -100

_POOL = 16
"""Batches that are drawn together, so that each has strings of about one length."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Steps ``[batch, time, step]``, padded with silence; lengths in steps and in labels; labels in one row.

    ``aligned``: label of each step ``[batch, time]`` where one can be guessed, else :data:`UNTOLD`.
    """

    steps: Tensor
    lengths: Tensor
    labels: Tensor
    label_lengths: Tensor
    warps: tuple[float, ...]
    aligned: Tensor | None = None


def batches(
    strings: Iterator[String], size: int, step: int, random: np.random.Generator, *, aligned: bool
) -> Iterator[Batch]:
    pool: list[String] = []
    for string in strings:
        pool.append(string)
        if len(pool) == size * _POOL:
            yield from _drawn(pool, size, step, random, aligned)
            pool = []
    yield from _drawn(pool, size, step, random, aligned)


def _drawn(
    pool: Sequence[String], size: int, step: int, random: np.random.Generator, aligned: bool
) -> Iterator[Batch]:
    order = np.argsort([len(string.samples) for string in pool], kind="stable")
    groups = [order[first : first + size] for first in range(0, len(order), size)]
    for group in random.permutation(len(groups)):
        yield batch_of([pool[index] for index in groups[group]], step, aligned=aligned)


def batch_of(strings: Sequence[String], step: int, *, aligned: bool = False) -> Batch:
    """Cut to whole steps at the end, which is silent."""
    lengths = [max(1, len(string.samples) // step) for string in strings]
    steps = np.zeros((len(strings), max(lengths) * step), np.float32)
    for row, string in enumerate(strings):
        samples = string.samples[: lengths[row] * step]
        steps[row, : len(samples)] = samples
    labels = [label for string in strings for label in string.labels]
    return Batch(
        torch.from_numpy(steps.reshape(len(strings), -1, step)),
        torch.tensor(lengths),
        torch.tensor(labels, dtype=torch.long),
        torch.tensor([len(string.labels) for string in strings]),
        tuple(string.warp for string in strings),
        _aligned(strings, lengths, step) if aligned else None,
    )


def _aligned(strings: Sequence[String], lengths: Sequence[int], step: int) -> Tensor:
    """A flat start (Young et al. 2006): the labels of a clip share its time evenly.

    Each is told in the second half of its share, and blank between clips. The first half may be either.
    """
    found = np.full((len(strings), max(lengths)), UNTOLD, np.int64)
    for row, string in enumerate(strings):
        found[row, : lengths[row]] = BLANK
        labels = iter(string.labels)
        for first, last, count in string.spans:
            found[row, first // step : last // step + 1] = UNTOLD
            for index in range(count):
                share = (last - first) / max(1, count)
                begin, end = (round((first + share * (index + at)) / step) for at in (0.5, 1.0))
                found[row, begin : max(begin, end) + 1] = next(labels)
        found[row, lengths[row] :] = UNTOLD
    return torch.from_numpy(found)
