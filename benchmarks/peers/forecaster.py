"""The model as the peers use it: numpy and ONNX Runtime, nothing of this project.

Every peer imports this file from the folder above its own, so that all run the same arithmetic:
168 values become ``[batch, time, 12]``, the graph gives ``[batch, 1, 48, levels]``, 24 steps go out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort


class Forecaster:
    """The graph with one thread, which is the fastest for a network of this size.

    Args:
        folder: with `model.onnx`, `start.npy`, `kind.npy` and `levels.npy`; else that of ``FORECASTER``.
    """

    def __init__(self, folder: str | None = None) -> None:
        place = Path(folder or os.environ["FORECASTER"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(
            str(place / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._start = np.load(place / "start.npy")
        self._kind = np.load(place / "kind.npy")
        self.levels = [f"{level:g}" for level in np.load(place / "levels.npy")]

    def run(self, batch: Sequence[Sequence[float]]) -> np.ndarray:
        """Quantiles ``[batch, 48, levels]`` of series of one length."""
        values = np.asarray(batch, np.float32)
        x = np.zeros((*values.shape, 12), np.float32)
        x[:, :, 0] = values
        x[:, :, 1] = 1
        x[:, :, 2:5] = self._kind
        feeds = {
            "x": x,
            "state": np.repeat(self._start[None], len(values), axis=0),
            "head_from": np.array([values.shape[1] - 1], np.int64),
        }
        return self._session.run(["quantiles"], feeds)[0][:, 0]

    def answer(self, batch: Sequence[Sequence[float]], horizon: int = 24) -> list[dict[str, list[float]]]:
        """One answer for each series: a list of ``horizon`` numbers for each level."""
        return [dict(zip(self.levels, row[:horizon].T.tolist(), strict=True)) for row in self.run(batch)]
