"""Sequences with a target at some of their steps, in three parts that do not overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import Source
from app.core.errors import DataError

PARTS = (0.7, 0.85)
"""Where the training part and the validation part end."""
MIN_GROUPS = 6
"""Fewer cannot be told apart; their series are split in time then."""
MIN_TARGETS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One sequence.

    Attributes:
        steps: float32 ``[time, columns]``, NaN where missing; or tokens ``[time]``.
        targets: float64 ``[time]``, an index of a label or a number, NaN where none is judged.
        known: float64 ``[time]``, the latest value of the target that is known at a step, else NaN.
        text: of tokens.
    """

    steps: NDArray[np.generic]
    targets: NDArray[np.float64]
    known: NDArray[np.float64]
    text: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """What is learned from, in three parts.

    Attributes:
        title: what figures are said to be about.
        split: how the test part was chosen, for people.
        target: name of the output.
        labels: of a class; empty for a number.
        columns: names of the numbers of a step.
        last: whether there is one target, at the end of each sequence.
        tokenizer: JSON of the tokenizer of texts.
    """

    title: str
    split: str
    target: str
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    last: bool
    train: list[Series]
    validation: list[Series]
    test: list[Series]
    sources: tuple[Source, ...]
    tokenizer: str | None = None
    references: dict[str, float] = field(default_factory=dict)

    def check(self) -> Corpus:
        """Itself; raises DataError when a part has too little in it to be learned from or measured on."""
        for name, part in (("training", self.train), ("validation", self.validation), ("test", self.test)):
            found = sum(int(np.isfinite(series.targets).sum()) for series in part)
            if found < MIN_TARGETS:
                raise DataError(
                    f"the {name} part ({self.split}) has {found} rows with a target, and needs {MIN_TARGETS} "
                    "or more"
                )
        return self


Parts = tuple[list[Series], list[Series], list[Series]]
"""For training, validation and test."""


def by_group(series: Sequence[Series], groups: Sequence[str], seed: int) -> Parts:
    """Whole groups go to one part."""
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    first = max(1, round(PARTS[0] * len(names)))
    second = min(max(first + 1, round(PARTS[1] * len(names))), len(names) - 1)
    part_of = {
        names[at]: 0 if place < first else 1 if place < second else 2 for place, at in enumerate(order)
    }
    parts: Parts = ([], [], [])
    for each, group in zip(series, groups, strict=True):
        parts[part_of[group]].append(each)
    return parts


def by_time(series: Sequence[Series]) -> Parts:
    """The first steps of a series train, the last test; a part sees what was before it, without targets."""
    parts: Parts = ([], [], [])
    for each in series:
        length = len(each.steps)
        ends = [0, *(round(share * length) for share in PARTS), length]
        for part, begin, end in zip(parts, ends[:-1], ends[1:], strict=True):
            targets = np.full(length, np.nan)
            targets[begin:end] = each.targets[begin:end]
            if np.isfinite(targets).any():
                part.append(Series(each.steps[:end], targets[:end], each.known[:end], each.text))
    return parts


def judged(series: Iterable[Series]) -> NDArray[np.float64]:
    """All targets that there are, in order."""
    found = [each.targets[np.isfinite(each.targets)] for each in series]
    return np.concatenate(found) if found else np.zeros(0)
