"""Labels and words out of a network's outputs, by the rule of connectionist temporal classification.

A label that repeats that of the step before is the same one, and blank (0) is none (Graves et al. 2006). What
is heard is remembered as JSON, so that any cut of a sound gives the same words, times and confidences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.numbers import softmax
from app.tasks.transcribe.spec import TranscribeSpec

BLANK = 0
FLUSH_S = 0.4
"""Silence that is fed behind a sound, so that its last label comes out: networks tell it a little later."""
LONGEST_SEGMENT_S = 20.0
_SPACE = " "
_LEAST_PROBABILITY = 1e-3
_MOST_LABELS = 64
_CERTAIN_BLANK = 0.9999

Memory = dict[str, Any]
Labels = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """``first`` and ``last`` are the steps at which it was told; ``total`` of its ``count`` probabilities."""

    text: str
    first: int
    last: int
    total: float
    count: int

    @property
    def confidence(self) -> float:
        return self.total / self.count

    def on(self, text: str, step: int, probability: float) -> Word:
        return Word(self.text + text, self.first, step, self.total + probability, self.count + 1)


Segment = list[Word]


def new_labels(best: NDArray[np.intp], before: int) -> NDArray[np.intp]:
    """Which steps begin a label, of each step's most probable one; ``before`` is that of the step before."""
    previous = np.concatenate([[before], best[:-1]])
    return np.flatnonzero((best != BLANK) & (best != previous))


class WordReader:
    """The words of the most probable path, cut to segments where nothing is said for a while."""

    def __init__(self, spec: TranscribeSpec) -> None:
        self._units = spec.units
        self._whole_words = spec.unit == "word"
        self._longest = round(LONGEST_SEGMENT_S / spec.step_seconds)

    def push(self, memory: Memory, logits: NDArray[np.float32], pause: int) -> tuple[Memory, list[Segment]]:
        """What is remembered after these outputs ``[steps, labels]``, and the segments that ended.

        ``pause``: steps without a label that end a segment. An end changes nothing but where the text is cut.
        """
        words = [Word(*word) for word in memory.get("words", ())]
        label, steps, joins = memory.get("label", BLANK), memory.get("steps", 0), memory.get("joins", False)
        ended: list[Segment] = []
        best = logits.argmax(axis=1)
        places = np.flatnonzero(best != BLANK)
        probabilities = softmax(logits[places]).max(axis=1)
        for place, probability in zip(places.tolist(), probabilities.tolist(), strict=True):
            now, step = int(best[place]), steps + place
            same = now == (label if place == 0 else int(best[place - 1]))
            text = self._units[now - 1]
            if same:
                if words and text != _SPACE:
                    words[-1] = words[-1].on("", step, probability)
                continue
            if words and step - words[-1].last > pause:
                ended.append(words)
                words, joins = [], False
            if text == _SPACE:
                joins = False
            elif (
                joins
                and words
                and not text.startswith(_SPACE)
                and step - words[-1].first < self._longest  # some languages have no spaces
            ):
                words[-1] = words[-1].on(text, step, probability)
            else:
                if words and step - words[0].first >= self._longest:
                    ended.append(words)
                    words = []
                words.append(Word(text.strip(), step, step, probability, 1))
                joins = not self._whole_words
        steps += len(best)
        if words and steps - words[-1].last > pause:
            ended.append(words)
            words, joins = [], False
        label = int(best[-1]) if len(best) else label
        kept = [[word.text, word.first, word.last, word.total, word.count] for word in words]
        return {"label": label, "steps": steps, "joins": joins, "words": kept}, ended

    def close(self, memory: Memory) -> tuple[Memory, list[Segment]]:
        """The segment that is still open ends here."""
        words = [Word(*word) for word in memory.get("words", ())]
        return {**memory, "words": [], "joins": False}, [words] if words else []

    def text(self, labels: Labels) -> str:
        parts = [self._units[label - 1] for label in labels]
        return _SPACE.join(parts) if self._whole_words else " ".join("".join(parts).split())


def best_paths(logits: NDArray[np.float32], width: int, most: int) -> list[tuple[Labels, float]]:
    """The most probable label sequences of outputs ``[steps, labels]``, with the logarithm of theirs.

    Prefix search with a beam (Graves et al. 2006; Hannun et al. 2014, without a language model).
    """
    probabilities = softmax(logits)
    beams: dict[Labels, tuple[float, float]] = {(): (0.0, -math.inf)}
    for row in probabilities:
        if row[BLANK] > _CERTAIN_BLANK:
            blank = math.log(row[BLANK])
            beams = {prefix: (_sum(*ends) + blank, -math.inf) for prefix, ends in beams.items()}
            continue
        likely = np.argsort(-row, kind="stable")[:_MOST_LABELS]
        logs = [(int(label), math.log(row[label])) for label in likely if row[label] >= _LEAST_PROBABILITY]
        beams = _extended(beams, logs, width)
    ranked = sorted(beams.items(), key=lambda item: (-_sum(*item[1]), item[0]))
    return [(prefix, _sum(*ends)) for prefix, ends in ranked[:most]]


def _extended(
    beams: dict[Labels, tuple[float, float]], logs: list[tuple[int, float]], width: int
) -> dict[Labels, tuple[float, float]]:
    """Prefixes after one more step, with the logs of the paths that end in blank, and in a label."""
    found: dict[Labels, tuple[float, float]] = {}

    def add(prefix: Labels, blank: float, label: float) -> None:
        old = found.get(prefix, (-math.inf, -math.inf))
        found[prefix] = (_sum(old[0], blank), _sum(old[1], label))

    for prefix, (blank, label) in beams.items():
        for each, log in logs:
            if each == BLANK:
                add(prefix, _sum(blank, label) + log, -math.inf)
            elif prefix and prefix[-1] == each:
                add(prefix, -math.inf, label + log)
                add((*prefix, each), -math.inf, blank + log)
            else:
                add((*prefix, each), -math.inf, _sum(blank, label) + log)
    kept = sorted(found.items(), key=lambda item: (-_sum(*item[1]), item[0]))[:width]
    return dict(kept)


def _sum(one: float, other: float) -> float:
    """Of two probabilities, by their logarithms."""
    high, low = (one, other) if one >= other else (other, one)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
