"""Replaying a bundle's golden vectors: does this machine compute what PyTorch computed?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.bundle.reader import Bundle, Golden
from app.core.errors import ParityError, RunFailed
from app.runtime.session import GraphSession

VERIFY_S = 30.0
"""That a replay may take: a graph may loop without end."""


def replay(
    session: GraphSession, start: NDArray[np.float32], steps: NDArray[np.generic], length: int
) -> list[NDArray[np.float32]]:
    """All outputs, ``[batch, time, ...]``, and the last rows, ``[batch, S]``; ``length`` steps at a time."""
    rows = np.repeat(start[None], len(steps), axis=0)
    pieces: list[list[NDArray[np.float32]]] = []
    for first in range(0, steps.shape[1], length):
        outputs, rows = session.run(
            np.ascontiguousarray(steps[:, first : first + length]), np.ascontiguousarray(rows), 0
        )
        pieces.append(outputs)
    return [np.concatenate(parts, axis=1) for parts in zip(*pieces, strict=True)] + [rows]


def golden_difference(
    session: GraphSession,
    start: NDArray[np.float32],
    golden: Golden,
    *,
    chunk: int | None = None,
    alone: bool = False,
) -> float:
    """The largest absolute difference over all outputs and rows between a session and the golden vectors.

    It is divided by the largest golden magnitude of that array where it is above one. ``chunk`` feeds so many
    steps at a time; ``alone`` runs each sequence by itself. ParityError: the graph does not run.
    """
    batch, time = golden.steps.shape[:2]
    groups = [slice(index, index + 1) for index in range(batch)] if alone else [slice(0, batch)]
    worst = 0.0
    try:
        with session.bounded(VERIFY_S):
            for group in groups:
                *outputs, rows = replay(session, start, golden.steps[group], chunk or time)
                for name, whole in zip(session.output_names, outputs, strict=True):
                    worst = max(worst, _difference(whole, golden.outputs[name][group], golden.outputs[name]))
                worst = max(worst, _difference(rows, golden.state_out[group], golden.state_out))
    except RunFailed as error:
        raise ParityError(
            f"the graph did not run on its golden vectors within {VERIFY_S:g} s: {error.message}"
        ) from None
    return worst


def verify_bundle(bundle: Bundle, session: GraphSession) -> float:
    """Replay the golden vectors in one batch; raises ParityError above the manifest's bound."""
    difference = golden_difference(session, bundle.start, bundle.golden)
    bound = bundle.manifest.parity.bound
    if not difference <= bound:
        raise ParityError(
            f"{bundle.manifest.reference}: the graph differs from its golden vectors by {difference:.2e}, "
            f"more than the bound of {bound:.2e}"
        )
    return difference


def _difference(
    actual: NDArray[np.float32], expected: NDArray[np.float32], scale_of: NDArray[np.float32]
) -> float:
    if actual.shape != expected.shape:
        return float("inf")
    if actual.size == 0:
        return 0.0
    largest = float(np.max(np.abs(actual.astype(np.float64) - expected)))
    return largest / max(1.0, float(np.max(np.abs(scale_of))))
