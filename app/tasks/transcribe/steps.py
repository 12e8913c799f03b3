"""Samples as steps of the network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.tasks.transcribe.audio import Samples
from app.tasks.transcribe.ctc import FLUSH_S
from app.tasks.transcribe.spec import TranscribeSpec


def as_steps(samples: Samples, spec: TranscribeSpec) -> NDArray[np.float32]:
    """Whole steps ``[time, step_samples]`` between -1 and 1; exact, since a sample has 16 bits."""
    return samples.reshape(-1, spec.step_samples).astype(np.float32) / np.float32(32768)


def whole_steps(samples: Samples, spec: TranscribeSpec) -> NDArray[np.float32]:
    """The end of a sound, and the silence behind it."""
    return as_steps(np.concatenate([samples, silence(len(samples), spec)]), spec)


def silence(samples: int, spec: TranscribeSpec) -> Samples:
    """What is fed behind so many samples: long enough for the last label, and up to a whole step."""
    least = round(FLUSH_S * spec.sample_rate)
    return np.zeros(least + -(samples + least) % spec.step_samples, np.int16)


def pause_steps(milliseconds: int, spec: TranscribeSpec) -> int:
    return max(1, round(milliseconds / 1000 / spec.step_seconds))
