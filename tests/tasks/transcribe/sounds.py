"""Sounds of noise, raw and as files."""

from __future__ import annotations

import base64
import io

import numpy as np
import soundfile

RATE = 8000


def sound(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Noise that comes and goes, so that letters are heard in it."""
    random = np.random.default_rng(seed)
    count = round(seconds * rate)
    level = np.repeat(random.random(count // (rate // 10) + 1), rate // 10)[:count]
    return (random.normal(0, 4000, count) * level).clip(-32768, 32767).astype("<i2")


def wav(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    """A sound file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def text_of(data: bytes) -> str:
    """In base64."""
    return base64.b64encode(data).decode()
