"""The numbers that a step yields, by the names that the manifest gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.numbers import rounded, softmax
from app.tasks.sequence.spec import NamedOutput, SequenceSpec

Reader = Callable[[NDArray[np.float32]], list[Any]]


class OutputReader:
    """Makes JSON of outputs ``[time, total]``."""

    def __init__(self, spec: SequenceSpec) -> None:
        self._parts: list[tuple[str, slice, Reader]] = []
        first = 0
        for output in spec.outputs:
            self._parts.append((output.name, slice(first, first + output.size), _reader(output)))
            first += output.size

    def read(self, outputs: NDArray[np.float32]) -> list[dict[str, Any]]:
        """By name, of each step."""
        names = [name for name, _, _ in self._parts]
        columns = [reader(outputs[:, part]) for _, part, reader in self._parts]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def probabilities(output: NamedOutput, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each label, ``[time, labels]``."""
    found = values.astype(np.float64)
    if output.size == len(output.labels):
        return softmax(values) if output.scores == "logits" else found
    if output.scores == "logits":
        # Of two logits whose difference it is.
        return softmax(np.concatenate([np.zeros_like(values), values], axis=1))
    return np.concatenate([1.0 - found, found], axis=1)


def _reader(output: NamedOutput) -> Reader:
    if output.labels:
        return lambda values: _verdicts(output, probabilities(output, values))
    if output.size == 1:
        return lambda values: [_short(value) for value in values[:, 0].tolist()]
    if not output.columns:
        return lambda values: [[*map(_short, row)] for row in values.tolist()]
    return lambda values: [
        dict(zip(output.columns, map(_short, row), strict=True)) for row in values.tolist()
    ]


def _verdicts(output: NamedOutput, table: NDArray[np.float64]) -> list[dict[str, Any]]:
    best = np.argmax(table, axis=1).tolist()
    return [
        {"label": output.labels[at], "score": row[at], "scores": dict(zip(output.labels, row, strict=True))}
        for at, row in zip(best, rounded(table).tolist(), strict=True)
    ]


def _short(value: float) -> float:
    """float32 has no more significant digits."""
    return float(f"{value:.8g}")
