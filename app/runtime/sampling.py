"""Drawing the next token for a whole batch at once.

Every row's result depends on that row alone: sums run along rows in a fixed order, ties go to
the lower id, and the random number belongs to (seed, position).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.core.sequence import Token
from app.runtime.philox import uniform


@dataclass(frozen=True, slots=True, eq=False)
class SamplingBatch:
    """Parameters of the rows, each ``[n]``; see :class:`~app.core.sequence.Sampling`.

    Attributes:
        temperature: float64.
        top_k: int64, 0 for all.
        top_p: float64.
        seed: uint64.
        position: uint64, tokens drawn before this one.
        alternatives: int64, -1 for no probabilities.
    """

    temperature: NDArray[np.float64]
    top_k: NDArray[np.int64]
    top_p: NDArray[np.float64]
    seed: NDArray[np.uint64]
    position: NDArray[np.uint64]
    alternatives: NDArray[np.int64]


def draw(
    logits: NDArray[np.float32], batch: SamplingBatch, banned: Sequence[tuple[int, ...]] = ()
) -> list[Token]:
    """One token for each row.

    Args:
        logits: ``[n, vocabulary]``, finite.
        batch: how to draw.
        banned: per row, ids that are never drawn; reported probabilities are as without it.
    """
    given = logits
    if any(banned):
        logits = logits.copy()
        for row, ids in zip(logits, banned, strict=True):
            row[list(ids)] = -np.inf
    chosen = np.argmax(logits, axis=1)
    warm = np.flatnonzero(batch.temperature > 0)
    if warm.size:
        weights = _weights(logits[warm], batch.temperature[warm])
        _keep_top(weights, batch.top_k[warm], batch.top_p[warm])
        cumulative = np.cumsum(weights, axis=1)
        total = cumulative[:, -1]
        target = np.minimum(uniform(batch.seed[warm], batch.position[warm]) * total, np.nextafter(total, 0))
        chosen[warm] = np.argmax(cumulative > target[:, None], axis=1)
    if (batch.alternatives < 0).all():
        return [Token(int(token)) for token in chosen]
    return _with_logprobs(given, chosen, batch.alternatives)


def _weights(logits: NDArray[np.float32], temperature: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled = logits.astype(np.float64)
    # Subtracting first keeps a tiny temperature from overflowing.
    scaled -= scaled.max(axis=1, keepdims=True)
    scaled /= temperature[:, None]
    return np.exp(scaled, out=scaled)


def _keep_top(weights: NDArray[np.float64], top_k: NDArray[np.int64], top_p: NDArray[np.float64]) -> None:
    """Zero what top-k and then top-p (nucleus sampling, Holtzman et al. 2020) leave out, in place."""
    size = weights.shape[1]
    rows = np.flatnonzero(((top_k > 0) & (top_k < size)) | (top_p < 1))
    if not rows.size:
        return
    order = np.argsort(-weights[rows], axis=1, kind="stable")
    ranked = np.take_along_axis(weights[rows], order, axis=1)
    limit = np.where(top_k[rows] > 0, top_k[rows], size)
    ranked[np.arange(size)[None, :] >= limit[:, None]] = 0
    before = np.cumsum(ranked, axis=1)
    total = before[:, -1:].copy()
    before[:, 1:] = before[:, :-1].copy()
    before[:, 0] = 0
    # A token stays while the more likely ones before it have not reached top_p; the first always does.
    narrow = (top_p[rows] < 1)[:, None]
    ranked[narrow & (before >= top_p[rows][:, None] * total) & (np.arange(size)[None, :] > 0)] = 0
    kept = np.empty_like(ranked)
    np.put_along_axis(kept, order, ranked, axis=1)
    weights[rows] = kept


def _with_logprobs(
    logits: NDArray[np.float32], chosen: NDArray[np.intp], alternatives: NDArray[np.int64]
) -> list[Token]:
    tokens: list[Token] = []
    for row, token, count in zip(logits, chosen, alternatives, strict=True):
        if count < 0:
            tokens.append(Token(int(token)))
            continue
        logprobs = log_softmax(row)
        best = np.argsort(-logprobs, kind="stable")[:count]
        listed = tuple((int(other), float(logprobs[other])) for other in best)
        tokens.append(Token(int(token), float(logprobs[token]), listed))
    return tokens


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Natural logs of the probabilities of one row, ``[vocabulary]``."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max()
    shifted -= np.log(np.exp(shifted).sum())
    return shifted
