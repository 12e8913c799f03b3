"""What a network must beat: the nearest recordings, of which each is one word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct
from sklearn.neighbors import KNeighborsClassifier

from training.transcribe.clips import Clip
from training.transcribe.net import FRAME_S, HOP_S, mel_matrix

_NEIGHBOURS, _FRAMES, _CEPSTRA = 5, 24, 13
_LOUD = 0.03
"""Of the highest level: what is below it at the ends is no part of the word."""


def nearest(train: Sequence[Clip], test: Sequence[Clip], rate: int) -> NDArray[np.intp]:
    """Labels of the test part by the five nearest recordings of the training part.

    A recording is thirteen mel-frequency cepstra (Davis & Mermelstein 1980) at 24 moments, less their means.
    """
    model = KNeighborsClassifier(_NEIGHBOURS)
    model.fit([_features(clip, rate) for clip in train], [clip.labels[0] for clip in train])
    return np.asarray(model.predict([_features(clip, rate) for clip in test]), np.intp)


def _features(clip: Clip, rate: int) -> NDArray[np.float64]:
    frame, hop = round(FRAME_S * rate), round(HOP_S * rate)
    samples = clip.samples / 32768
    level = np.convolve(np.abs(samples), np.full(hop, 1 / hop), "same")
    loud = np.flatnonzero(level > _LOUD * np.abs(samples).max(initial=0.0))
    if loud.size:
        samples = samples[loud[0] : loud[-1] + 1]
    samples = np.pad(samples, (0, max(0, 2 * frame - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[::hop] * np.hanning(frame)
    bands = np.log(np.abs(np.fft.rfft(frames, axis=1)) ** 2 @ mel_matrix(frame, rate) + 1e-6)
    bands -= bands.mean(axis=0)
    cepstra = dct(bands, axis=1, norm="ortho")[:, :_CEPSTRA]
    moments = np.linspace(0, len(cepstra) - 1, _FRAMES)
    rows = np.stack([np.interp(moments, np.arange(len(cepstra)), each) for each in cepstra.T], axis=1)
    rows = (rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-6)
    weights = np.concatenate([[0.3], np.linspace(1, 0.5, _CEPSTRA - 1)])
    found: NDArray[np.float64] = (rows * weights).ravel()
    return found
