"""Spectra of sounds, joined to longer ones and changed: what training hears.

Spectra are changed in place of samples, at a tenth of the cost: the axis of frequencies stretched stands for
another vocal tract (Jaitly & Hinton 2013), that of time for another pace.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from training.transcribe.clips import Clip
from training.transcribe.front import HOPS
from training.transcribe.net import HOP_S, Hearer
from training.transcribe.places import Place, places
from training.transcribe.settings import TranscribeSettings
from training.transcribe.strings import BEHIND_S, LEAD_S, TIGHT, TIGHT_S, groups

Powers = NDArray[np.float32]
"""Of the frequencies of frames: ``[frames, bins]``."""
_QUIET = 0.03
"""Share of strings without a word: silence and noise say nothing."""
_QUIET_S = (0.5, 3.0)
_PLAIN = 0.1
"""Share of strings that keep pace, frequencies and colour."""
_BEND = 0.2
"""Nepers by which the pace changes within a word."""
_OWN_PACE, _OWN_LEVEL = 0.08, 0.7
"""Nepers by which the words of a string differ."""
_GAIN_DB, _NOISE_DB = (-18.0, 10.0), (10.0, 40.0)
_NARROW = 0.3
"""Share of strings that a narrow channel, such as a telephone, has passed."""
_SHORTEST = 6


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """A string of whole steps with what is said in it.

    Attributes:
        warp: factor of the axis of frequencies.
        colour: how much louder or softer bands are, in nepers; 0 for not at all.
        spans: where its labels are said.
    """

    powers: Powers
    warp: float
    colour: float
    spans: tuple[Place, ...]

    @property
    def labels(self) -> list[int]:
        return [label for _, _, labels in self.spans for label in labels]


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """The spectra of a sound, or of a word that stands alone in it, and where its labels are said."""

    powers: Powers
    spans: tuple[Place, ...]
    speaker: str

    @staticmethod
    @torch.no_grad()
    def of(net: Hearer, clip: Clip) -> list[Heard]:
        """A sound cut in its pauses, of all frames that hear a part of it."""
        padded = np.pad(clip.wave, (0, net.frame + -len(clip.samples) % net.hop))
        samples = torch.from_numpy(padded[: len(padded) // net.hop * net.hop])[None, None]
        powers = net.powers(samples, torch.zeros(1, net.tail))[0].numpy()
        found = places(powers, clip.labels)
        cuts = [0, *((one[1] + other[0]) // 2 for one, other in pairwise(found)), len(powers)]
        return [
            Heard(powers[begin:end], ((first - begin, last - begin, labels),), clip.speaker)
            for (begin, end), (first, last, labels) in zip(pairwise(cuts), found, strict=True)
        ]


def training_strings(
    heard: Sequence[Heard], settings: TranscribeSettings, random: np.random.Generator
) -> Iterator[Spoken]:
    """Each once, joined with others of its speaker, and changed."""
    bins = heard[0].powers.shape[1]
    for group in groups(heard, settings.join, random):
        yield _changed(group, bins, settings, random)
        if random.random() < _QUIET:
            yield _changed([], bins, settings, random)


def _changed(
    group: Sequence[Heard], bins: int, settings: TranscribeSettings, random: np.random.Generator
) -> Spoken:
    share = 0.0 if random.random() < _PLAIN else 1.0
    pace = random.uniform(-settings.tempo, settings.tempo)
    parts = [_silence(random.uniform(*(LEAD_S if group else _QUIET_S)), bins)]
    at, spans = len(parts[0]), []
    for each in group:
        factor = np.exp(share * (pace + random.uniform(-_OWN_PACE, _OWN_PACE)))
        part, frames = _stretched(each.powers, factor, share * _BEND, random)
        gap = random.uniform(0, settings.gap_s) if random.random() > TIGHT else TIGHT_S
        parts += [part * np.exp(share * random.uniform(-_OWN_LEVEL, _OWN_LEVEL)), _silence(gap, bins)]
        for first, last, labels in each.spans:
            begin, end = np.searchsorted(frames, (first, last))
            spans.append((at + int(begin), at + int(end), labels))
        at += len(part) + len(parts[-1])
    found = np.concatenate([*parts, _silence(random.uniform(*BEHIND_S), bins)])
    found = found * np.float32(10 ** (random.uniform(*_GAIN_DB) / 10))
    if random.random() < settings.noise:
        found = _noisy(found, random)
    if share and random.random() < _NARROW:
        found = found * _channel(bins, random)
    warp = float(np.exp(share * random.uniform(-settings.warp, settings.warp)))
    found = found[: len(found) // HOPS * HOPS].astype(np.float32)
    return Spoken(found, warp, share * settings.colour, tuple(spans))


def _silence(seconds: float, bins: int) -> Powers:
    return np.zeros((int(seconds / HOP_S), bins), np.float32)


def _stretched(
    powers: Powers, factor: float, bend: float, random: np.random.Generator
) -> tuple[Powers, NDArray[np.float64]]:
    """So much longer, and within it now faster, now slower; and the frame that each was."""
    count = max(_SHORTEST, round(len(powers) * factor))
    frames = np.cumsum(np.exp(_curve(count, bend, random)))
    frames = (frames - frames[0]) / (frames[-1] - frames[0]) * (len(powers) - 1)
    before = frames.astype(int)
    after = np.minimum(before + 1, len(powers) - 1)
    share = (frames - before)[:, None].astype(np.float32)
    return powers[before] * (1 - share) + powers[after] * share, frames


def _curve(count: int, size: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Three slow waves."""
    waves = np.arange(1, 4)
    angles = np.pi * np.outer(np.arange(count) / count, waves) + random.uniform(0, 2 * np.pi, 3)
    found: NDArray[np.float64] = np.cos(angles) @ (random.standard_normal(3) * size / waves)
    return found


def _noisy(powers: Powers, random: np.random.Generator) -> Powers:
    """Gaussian noise of any colour, added to the amplitudes of which these are the powers."""
    count, bins = powers.shape
    slope = random.uniform(0, 5) * np.linspace(0, 1, bins)
    shape = np.exp(_curve(bins, 1.5, random) - slope)
    level = (float(powers.mean()) or 1e-3) * 10 ** (-random.uniform(*_NOISE_DB) / 10)
    deviation = np.sqrt(shape / shape.mean() * level / 2).astype(np.float32)
    real, imaginary = random.standard_normal((2, count, bins), np.float32) * deviation
    found: Powers = (np.sqrt(powers) + real) ** 2 + imaginary**2
    return found


def _channel(bins: int, random: np.random.Generator) -> Powers:
    """Low and high frequencies fade, by 30 dB at most."""
    places = np.linspace(0, 1, bins)
    low, high = random.uniform(0, 0.12), random.uniform(0.6, 1.2)
    edges = 1 / (1 + np.exp((low - places) / 0.02)), 1 / (1 + np.exp((places - high) / 0.03))
    found: Powers = np.prod(np.maximum(edges, 1e-3), axis=0).astype(np.float32)
    return found
