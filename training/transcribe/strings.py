"""Sounds of one word or a few joined to longer ones, as they are: what figures are measured on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from training.transcribe.clips import Clip

Wave = NDArray[np.float32]
LEAD_S, BEHIND_S = (0.0, 0.8), (0.25, 0.6)
"""Silence in front of a string and behind it."""
TIGHT, TIGHT_S = 1 / 3, 0.02
"""Share of gaps that are next to nothing, and how long these are."""


class _Spoken(Protocol):
    @property
    def speaker(self) -> str: ...


SpokenT = TypeVar("SpokenT", bound=_Spoken)


@dataclass(frozen=True, slots=True, eq=False)
class String:
    """Samples between -1 and 1 with what is said in them."""

    samples: Wave
    labels: tuple[int, ...]
    text: str = ""


def plain_strings(
    clips: Sequence[Clip], rate: int, most: int, gap_s: float, noise: float, seed: int
) -> list[String]:
    """What was said as it is, joined; such a share with noise of 15 to 35 dB."""
    random = np.random.default_rng(seed)
    found = []
    for group in groups(clips, most, random):
        samples = _joined([clip.wave for clip in group], rate, gap_s, random)
        if random.random() < noise:
            samples = samples + _noise(samples, random, 15.0, 35.0)
        labels = tuple(label for clip in group for label in clip.labels)
        text = " ".join(clip.text for clip in group)
        found.append(String(np.clip(samples, -1, 1).astype(np.float32), labels, text))
    return found


def groups(clips: Sequence[SpokenT], most: int, random: np.random.Generator) -> Iterator[list[SpokenT]]:
    """All once, in groups of one to ``most`` of one speaker, in random order."""
    found: list[list[SpokenT]] = []
    for speaker in sorted({clip.speaker for clip in clips}):
        own = [clip for clip in clips if clip.speaker == speaker]
        order, first = random.permutation(len(own)), 0
        while first < len(own):
            count = int(random.integers(1, most + 1))
            found.append([own[index] for index in order[first : first + count]])
            first += count
    for index in random.permutation(len(found)):
        yield found[index]


def _joined(waves: Sequence[Wave], rate: int, gap_s: float, random: np.random.Generator) -> Wave:
    parts = [np.zeros(int(random.uniform(*LEAD_S) * rate), np.float32)]
    for wave in waves:
        gap = random.uniform(0, gap_s) if random.random() > TIGHT else TIGHT_S
        parts += [wave, np.zeros(int(gap * rate), np.float32)]
    parts.append(np.zeros(int(random.uniform(*BEHIND_S) * rate), np.float32))
    return np.concatenate(parts)


def _noise(samples: Wave, random: np.random.Generator, least: float, most: float) -> Wave:
    """Between white and brown, so many decibels below the sound."""
    noise = lfilter([1.0], [1.0, -random.uniform(0, 0.97)], random.standard_normal(len(samples)))
    level = float(np.sqrt(np.mean(samples * samples))) or 0.05
    wanted = level * 10 ** (-random.uniform(least, most) / 20)
    found: Wave = noise * (wanted / max(1e-9, float(np.sqrt(np.mean(noise * noise)))))
    return found
