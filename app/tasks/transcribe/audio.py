"""Sound files and raw samples: what is sent, as 16-bit samples at the rate that a network hears.

A whole multiple of that rate is thinned out by a filter whose arithmetic is exact, so that any cut of the
samples gives the same; sound files of other rates are resampled as a whole.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput, UnsupportedMedia, over_limit

if TYPE_CHECKING:
    import soundfile

Samples = NDArray[np.int16]
Encoding = Literal["pcm16", "mulaw"]
FORMATS = ("WAV", "FLAC", "OGG", "MP3")
FACTORS = (1, 2, 3, 4, 6)
"""Multiples of the network's rate that are thinned out."""
_LOWEST_RATE, _HIGHEST_RATE = 4_000, 192_000
_TAPS = 32
"""Of the filter, for each step of the factor."""
_CUTOFF = 0.9
_UNIT = 1 << 15
_BLOCK = 1 << 18
NONE: Samples = np.zeros(0, np.int16)


def rates_of(rate: int) -> list[int]:
    """That can be cut anywhere."""
    return [rate * factor for factor in FACTORS]


def check_rate(given: int, rate: int, field: str) -> None:
    """Raises InvalidInput for samples a second that cannot be cut anywhere."""
    if given not in (allowed := rates_of(rate)):
        text = f"{given} samples a second are not taken raw; allowed: {', '.join(map(str, allowed))}"
        raise InvalidInput(field, text, allowed=allowed)


def raw_samples(data: bytes, encoding: Encoding, field: str) -> Samples:
    """Samples of raw bytes: 16 bits, little-endian; or G.711 mu-law, 8 bits. Raises InvalidInput."""
    if encoding == "mulaw":
        return _mulaw()[np.frombuffer(data, np.uint8)]
    if len(data) % 2:
        raise InvalidInput(field, f"{len(data)} bytes are no whole number of 16-bit samples")
    return np.frombuffer(data, "<i2").astype(np.int16)


class Thinner:
    """Keeps each ``factor``-th sample of a sound whose high frequencies it has taken away."""

    def __init__(self, factor: int) -> None:
        self._factor = factor
        self._taps = _filter(factor)

    @property
    def reach(self) -> int:
        """Samples before one that it is made of."""
        return len(self._taps) - 1

    def run(self, tail: Samples, samples: Samples, first: int) -> tuple[Samples, Samples]:
        """What is kept of ``samples``, which begin at index ``first`` behind ``tail``, and the next tail."""
        if self._factor == 1:
            return samples, NONE
        whole = np.concatenate([np.zeros(self.reach - len(tail), np.int16), tail, samples])
        after = whole[len(whole) - self.reach :]
        begin = -first % self._factor
        if begin >= len(samples):
            return NONE, after
        windows = np.lib.stride_tricks.sliding_window_view(whole.astype(np.float64), self.reach + 1)
        # Whole numbers below 2**53 in any order: exact.
        kept = np.floor(windows[begin :: self._factor] @ self._taps / _UNIT + 0.5)
        return np.clip(kept, -_UNIT, _UNIT - 1).astype(np.int16), after


def read_sound(data: bytes, rate: int, max_seconds: float, field: str = "body") -> tuple[Samples, float]:
    """One channel of a sound file at ``rate``, and its length in seconds.

    It is read to its end or to the limit, whatever its header says of its length.

    Raises:
        InvalidInput: it is no sound that is read, or longer than the limit.
        UnsupportedMedia: the package that reads sound files is not installed.
    """
    try:
        import soundfile
    except ImportError:
        raise UnsupportedMedia("a sound file", ("audio/pcm",), "audio") from None
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            given = file.samplerate
            if not _LOWEST_RATE <= given <= _HIGHEST_RATE:
                raise InvalidInput(
                    field,
                    f"the sound has {given} samples a second; allowed: {_LOWEST_RATE} to {_HIGHEST_RATE}",
                    allowed={"min": _LOWEST_RATE, "max": _HIGHEST_RATE},
                )
            samples = _mixed(file, round(max_seconds * given))
    except (soundfile.LibsndfileError, RuntimeError, ValueError, TypeError) as error:
        told = str(error).partition(": ")[2] or str(error)
        raise InvalidInput(
            field, f"the sound cannot be read ({told[:100]}); {', '.join(FORMATS)} are", allowed=[*FORMATS]
        ) from None
    if samples is None:
        text = f"the sound is longer than {max_seconds:g} seconds, which is the limit"
        raise over_limit(field, max_seconds, text)
    return at_rate(samples, given, rate, field), len(samples) / given


def at_rate(samples: Samples, given: int, rate: int, field: str) -> Samples:
    """A whole sound at another rate."""
    factor, rest = divmod(given, rate)
    if not rest and factor in FACTORS:
        parts, thinner, tail = [], Thinner(factor), NONE
        for first in range(0, len(samples), _BLOCK):
            part, tail = thinner.run(tail, samples[first : first + _BLOCK], first)
            parts.append(part)
        return np.concatenate(parts) if parts else NONE
    try:
        import soxr
    except ImportError:
        text = f"{given} samples a second need the package soxr here; allowed: {rates_of(rate)}"
        raise InvalidInput(field, text, allowed=rates_of(rate)) from None
    return np.asarray(soxr.resample(samples, given, rate), np.int16) if len(samples) else NONE


def _mixed(file: soundfile.SoundFile, most: int) -> Samples | None:
    """The mean of the channels; ``None`` where there are more samples than ``most``."""
    # Where it may seek, soundfile believes a header that says a length, and fails at one that says none.
    file.seekable = lambda: False
    size, parts, total = max(1, _BLOCK // file.channels), [], 0
    while len(block := file.read(size, dtype="int16", always_2d=True)):
        total += len(block)
        if total > most:
            return None
        mean = block.sum(axis=1, dtype=np.int64) // file.channels
        parts.append(mean.astype(np.int16))
    return np.concatenate(parts) if parts else NONE


@lru_cache(maxsize=len(FACTORS))
def _filter(factor: int) -> NDArray[np.float64]:
    """A low pass in whole numbers, whose sum is one unit: a sinc under Kaiser's window (Kaiser 1974)."""
    if factor == 1:
        return np.ones(1)
    places = np.arange(_TAPS * factor + 1) - _TAPS * factor / 2
    taps = np.sinc(places * _CUTOFF / factor) * np.kaiser(len(places), 7.0)
    found: NDArray[np.float64] = np.round(taps / taps.sum() * _UNIT)
    found[len(found) // 2] += _UNIT - found.sum()
    return found


@lru_cache(maxsize=1)
def _mulaw() -> Samples:
    """ITU-T G.711, Table 2a."""
    codes = ~np.arange(256, dtype=np.uint8)
    sizes = ((codes & 0x0F).astype(np.int32) * 8 + 0x84 << (codes >> 4 & 7).astype(np.int32)) - 0x84
    return np.where(codes & 0x80, -sizes, sizes).astype(np.int16)
