"""The step model as the peers use it: numpy and ONNX Runtime, nothing of this project.

One step: a token id and a state row go in; the most likely next token and the new row come out.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime as ort

_HEAD = np.zeros(1, np.int64)


class Stepper:
    """The graph with one thread.

    Args:
        folder: with `model.onnx` and `start.npy`; else that of ``STEPPER``.

    Attributes:
        start: ``[S]``, the row of a new sequence.
    """

    def __init__(self, folder: str | None = None) -> None:
        place = Path(folder or os.environ["STEPPER"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(
            str(place / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._token = self._session.get_inputs()[0].name
        self.start = np.load(place / "start.npy")

    def step(self, tokens: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens ``[batch]`` and rows ``[batch, S]`` in; the next tokens and rows out."""
        feeds = {self._token: tokens[:, None], "state": rows, "head_from": _HEAD}
        logits, rows = self._session.run(["logits", "state_out"], feeds)
        return logits[:, -1].argmax(axis=1), rows
