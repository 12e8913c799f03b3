"""Sounds with what is said in them, in three parts that do not overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import Source
from app.core.errors import DataError
from training.transcribe.units import Units

Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """``labels`` are empty where the text has a part that training has no label for."""

    samples: Samples
    text: str
    speaker: str
    labels: tuple[int, ...] = ()

    @property
    def wave(self) -> NDArray[np.float32]:
        """Samples between -1 and 1."""
        return self.samples.astype(np.float32) / np.float32(32768)


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """What is learned from.

    Attributes:
        title: what figures are said to be about.
        split: how the test part was chosen, for people.
        rate: samples a second.
        single: whether each clip of the test part is one word, all words being known.
    """

    title: str
    split: str
    rate: int
    units: Units
    train: list[Clip]
    validation: list[Clip]
    test: list[Clip]
    sources: tuple[Source, ...]
    single: bool = False


def corpus(
    title: str,
    split: str,
    rate: int,
    units: Units,
    parts: Sequence[Sequence[Clip]],
    sources: tuple[Source, ...],
    *,
    single: bool = False,
) -> Corpus:
    """Raises DataError where a part is empty."""
    for name, part in zip(("training", "validation", "test"), parts, strict=True):
        if not part:
            raise DataError(f"the {name} part ({split}) has no sound in it; more sounds are needed")
    train, validation, test = ([_labelled(clip, units) for clip in part] for part in parts)
    return Corpus(title, split, rate, units, train, validation, test, sources, single)


def _labelled(clip: Clip, units: Units) -> Clip:
    return Clip(clip.samples, clip.text, clip.speaker, tuple(units.encode(clip.text) or ()))
