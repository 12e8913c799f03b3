"""Sounds joined to longer ones, and changed: what training hears, and what strings are measured on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, lfilter, resample

from training.transcribe.clips import Clip, Samples
from training.transcribe.settings import TranscribeSettings

Wave = NDArray[np.float32]
_QUIET = 0.03
"""Share of strings without a word: silence and noise say nothing."""
_LEAD_S, _BEHIND_S = (0.0, 0.8), (0.25, 0.6)
_GAIN_DB, _NOISE_DB = (-18.0, 10.0), (8.0, 40.0)
_ECHO, _ECHO_S = 0.2, 0.1
_PLAIN = 0.2
"""Share of strings that keep speed, pitch and colour."""


@dataclass(frozen=True, slots=True, eq=False)
class String:
    """Samples between -1 and 1 with what is said in them.

    Attributes:
        warp: factor of the axis of frequencies.
        spans: first and last sample of each clip, and how many of the labels it has.
    """

    samples: Wave
    labels: tuple[int, ...]
    warp: float = 1.0
    text: str = ""
    spans: tuple[tuple[int, int, int], ...] = ()


def training_strings(
    clips: Sequence[Clip], rate: int, settings: TranscribeSettings, random: np.random.Generator
) -> Iterator[String]:
    """Each clip ``copies`` times, joined with others of its speaker, and changed."""
    usable = [clip for clip in clips if clip.labels]
    for _ in range(settings.copies):
        for group in _groups(usable, settings.join, random):
            yield _changed(group, rate, settings, random)
            if random.random() < _QUIET:
                yield _changed([], rate, settings, random)


def plain_strings(
    clips: Sequence[Clip], rate: int, most: int, gap_s: float, noise: float, seed: int
) -> list[String]:
    """Strings to measure on: what was said as it is, half of them with noise of 15 to 35 dB."""
    random = np.random.default_rng(seed)
    found = []
    for group in _groups(clips, most, random):
        samples, _ = _joined([_wave(clip.samples) for clip in group], rate, gap_s, random)
        if random.random() < noise:
            samples = samples + _noise(samples, random, 15.0, 35.0)
        labels = tuple(label for clip in group for label in clip.labels)
        text = " ".join(clip.text for clip in group)
        found.append(String(np.clip(samples, -1, 1).astype(np.float32), labels, text=text))
    return found


def _groups(clips: Sequence[Clip], most: int, random: np.random.Generator) -> Iterator[list[Clip]]:
    """All clips once, in groups of one to ``most`` of one speaker, in random order."""
    groups: list[list[Clip]] = []
    for speaker in sorted({clip.speaker for clip in clips}):
        own = [clip for clip in clips if clip.speaker == speaker]
        order, first = random.permutation(len(own)), 0
        while first < len(own):
            count = int(random.integers(1, most + 1))
            groups.append([own[index] for index in order[first : first + count]])
            first += count
    for index in random.permutation(len(groups)):
        yield groups[index]


def _changed(
    group: Sequence[Clip], rate: int, settings: TranscribeSettings, random: np.random.Generator
) -> String:
    share = 0.0 if random.random() < _PLAIN else 1.0
    speed = _factor(share * settings.speed, random)
    waves = [_faster(_wave(clip.samples), speed * _factor(share * 0.05, random)) for clip in group]
    samples, places = _joined(waves, rate, settings.gap_s, random)
    if not group:
        samples = np.zeros(int(random.uniform(0.5, 3.0) * rate), np.float32)
    if random.random() < _ECHO:
        length = int(random.uniform(0.1, 1.0) * _ECHO_S * rate)
        decay = np.exp(-5 * np.arange(length) / length) * random.standard_normal(length) * 0.3
        samples = samples + fftconvolve(samples, decay)[: len(samples)]
    samples = lfilter([1.0, share * random.uniform(-0.6, 0.6)], [1.0], samples)
    if random.random() < settings.noise:
        samples = samples + _noise(samples, random, *_NOISE_DB)
    gain = 10 ** (random.uniform(*_GAIN_DB) / 20)
    samples = np.clip(samples * gain, -1, 1).astype(np.float32)
    labels = tuple(label for clip in group for label in clip.labels)
    spans = [
        (first, first + len(wave), len(clip.labels))
        for first, wave, clip in zip(places, waves, group, strict=True)
    ]
    return String(samples, labels, _factor(share * settings.warp, random), spans=tuple(spans))


def _joined(
    waves: Sequence[Wave], rate: int, gap_s: float, random: np.random.Generator
) -> tuple[Wave, list[int]]:
    """One behind the other, and where each begins; a third of the gaps is next to nothing."""
    parts = [np.zeros(int(random.uniform(*_LEAD_S) * rate), np.float32)]
    places: list[int] = []
    for wave in waves:
        gap = random.uniform(0, gap_s) if random.random() > 1 / 3 else 0.02
        places.append(sum(map(len, parts)))
        parts += [wave, np.zeros(int(gap * rate), np.float32)]
    parts.append(np.zeros(int(random.uniform(*_BEHIND_S) * rate), np.float32))
    return np.concatenate(parts), places


def _noise(samples: Wave, random: np.random.Generator, least: float, most: float) -> Wave:
    """Between white and brown, so many decibels below the sound."""
    noise = lfilter([1.0], [1.0, -random.uniform(0, 0.97)], random.standard_normal(len(samples)))
    level = float(np.sqrt(np.mean(samples * samples))) or 0.05
    wanted = level * 10 ** (-random.uniform(least, most) / 20)
    found: Wave = noise * (wanted / max(1e-9, float(np.sqrt(np.mean(noise * noise)))))
    return found


def _faster(wave: Wave, factor: float) -> Wave:
    """Read at another speed, which changes the pitch as well; high frequencies stay as loud as they are."""
    count = max(1, round(len(wave) / factor))
    return wave if count == len(wave) else np.asarray(resample(wave, count), np.float32)


def _factor(share: float, random: np.random.Generator) -> float:
    return float(np.exp(random.uniform(-share, share)))


def _wave(samples: Samples) -> Wave:
    return samples.astype(np.float32) / np.float32(32768)
