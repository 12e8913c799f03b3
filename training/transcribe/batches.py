"""Strings in padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.tasks.transcribe.ctc import BLANK
from training.transcribe.front import HOPS
from training.transcribe.spectra import Spoken

UNTOLD = -100
_SURE, _CERTAIN, _LATE = 0.65, 0.8, 3
"""A label is told from the one share of its sound on, until so many steps behind it: who guesses earlier
guesses wrong of a voice that was never heard. At first it is told from the other share on.
"""
_POOL = 16
"""Batches that are drawn together, so that each has strings of about one length."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Spectra ``[batch, frames, bins]``, padded with silence.

    Lengths are in steps and in labels, which stand in one row.

    Attributes:
        possible: labels that a step may tell, ``[batch, time, labels]``: blank, and those of its sound.
        aligned: label of each step ``[batch, time]`` where one can be guessed, the labels of a sound sharing
            its time evenly (a flat start, Young et al. 2006), else :data:`UNTOLD`.
        flat: whether that is what is learned.
    """

    powers: Tensor
    lengths: Tensor
    labels: Tensor
    label_lengths: Tensor
    warps: tuple[float, ...]
    colours: tuple[float, ...]
    possible: Tensor
    aligned: Tensor
    flat: bool


def batches(
    strings: Iterator[Spoken], size: int, labels: int, random: np.random.Generator, *, flat: bool
) -> Iterator[Batch]:
    pool: list[Spoken] = []
    for string in strings:
        pool.append(string)
        if len(pool) == size * _POOL:
            yield from _drawn(pool, size, labels, random, flat)
            pool = []
    yield from _drawn(pool, size, labels, random, flat)


def _drawn(
    pool: Sequence[Spoken], size: int, labels: int, random: np.random.Generator, flat: bool
) -> Iterator[Batch]:
    order = np.argsort([len(string.powers) for string in pool], kind="stable")
    groups = [order[first : first + size] for first in range(0, len(order), size)]
    for group in random.permutation(len(groups)):
        yield batch_of([pool[index] for index in groups[group]], labels, flat=flat)


def batch_of(strings: Sequence[Spoken], labels: int, *, flat: bool = False) -> Batch:
    """Of so many labels, blank among them."""
    lengths = [len(string.powers) // HOPS for string in strings]
    powers = np.zeros((len(strings), max(lengths) * HOPS, strings[0].powers.shape[1]), np.float32)
    possible = np.zeros((len(strings), max(lengths), labels), bool)
    possible[:, :, BLANK] = True
    aligned = np.full((len(strings), max(lengths)), UNTOLD, np.int64)
    for row, (string, length) in enumerate(zip(strings, lengths, strict=True)):
        powers[row, : length * HOPS] = string.powers
        for first, last, said in string.spans:
            share = (last - first) / max(1, len(said))
            possible[row, _steps(first + _SURE * share, last, _LATE), list(said)] = True
            for index, label in enumerate(said):
                at = first + index * share
                aligned[row, _steps(at + _CERTAIN * share, at + share, 1)] = label
    return Batch(
        torch.from_numpy(powers),
        torch.tensor(lengths),
        torch.tensor([label for string in strings for label in string.labels], dtype=torch.long),
        torch.tensor([len(string.labels) for string in strings]),
        tuple(string.warp for string in strings),
        tuple(string.colour for string in strings),
        torch.from_numpy(possible),
        torch.from_numpy(aligned),
        flat,
    )


def _steps(first: float, last: float, late: int) -> slice:
    """Those of frames, and so many more."""
    return slice(int(first) // HOPS, int(last) // HOPS + 1 + late)


def steps_of(waves: Sequence[NDArray[np.float32]], step: int) -> tuple[Tensor, list[int]]:
    """Samples in whole steps ``[batch, time, step]``, padded with silence, and lengths in steps."""
    lengths = [max(1, len(wave) // step) for wave in waves]
    steps = np.zeros((len(waves), max(lengths) * step), np.float32)
    for row, wave in enumerate(waves):
        samples = wave[: lengths[row] * step]
        steps[row, : len(samples)] = samples
    return torch.from_numpy(steps.reshape(len(waves), -1, step)), lengths
