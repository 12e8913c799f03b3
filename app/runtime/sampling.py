"""Drawing the next token for a whole batch at once.

A row's result depends on that row alone: sums run along rows in a fixed order, ties go to the lower id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.core.numbers import log_softmax
from app.core.philox import uniform
from app.core.sequence import Token

# Random numbers are drawn ahead for up to so many positions: Philox costs hardly more for many
# numbers than for one. The number doubles with use, so a batch that changes soon wastes little.
_MAX_AHEAD = 32


@dataclass(frozen=True, slots=True, eq=False)
class SamplingBatch:
    """Parameters of the rows, each ``[n]``; see :class:`~app.core.sequence.Sampling`.

    ``position`` is that of the first token drawn; a ``top_k`` of 0 keeps all, ``alternatives`` of -1 ask for
    no probabilities.
    """

    temperature: NDArray[np.float64]
    top_k: NDArray[np.int64]
    top_p: NDArray[np.float64]
    seed: NDArray[np.uint64]
    position: NDArray[np.uint64]
    alternatives: NDArray[np.int64]


class Sampler:
    """Each call draws the next position of each row; ``banned`` are per row ids that are never drawn."""

    def __init__(self, batch: SamplingBatch, banned: Sequence[tuple[int, ...]] = ()) -> None:
        self._batch = batch
        self._banned_rows = np.array([row for row, ids in enumerate(banned) for _ in ids], np.intp)
        self._banned_ids = np.array([token for ids in banned for token in ids], np.intp)
        warm = np.flatnonzero(batch.temperature > 0)
        self._warm: NDArray[np.intp] | slice | None = warm if warm.size else None
        if warm.size == batch.temperature.size:
            self._warm = slice(None)
        self._temperature = batch.temperature[warm][:, None]
        self._top_k, self._top_p = batch.top_k[warm], batch.top_p[warm]
        self._limited = bool((self._top_k > 0).any() or (self._top_p < 1).any())
        self._seed, self._first = batch.seed[warm], batch.position[warm]
        self.num_drawn = 0
        self._ahead: NDArray[np.float64] = np.empty((0, warm.size))
        self._ahead_from = 0
        self._describes = bool((batch.alternatives >= 0).any())

    def draw(self, logits: NDArray[np.float32]) -> NDArray[np.intp]:
        """One id for each row, ``[n]``, from finite logits ``[n, vocabulary]``."""
        if self._banned_rows.size:
            logits = logits.copy()
            logits[self._banned_rows, self._banned_ids] = -np.inf
        warm = self._warm
        if isinstance(warm, slice):
            chosen = self._draw_warm(logits)
        else:
            chosen = np.argmax(logits, axis=1)
            if warm is not None:
                chosen[warm] = self._draw_warm(logits[warm])
        self.num_drawn += 1
        return chosen

    def tokens(self, logits: NDArray[np.float32], ids: NDArray[np.intp]) -> Sequence[Token | int]:
        """Drawn ids with the probabilities that were asked for; ids alone where none were."""
        if not self._describes:
            plain: list[int] = ids.tolist()
            return plain
        return _with_logprobs(logits, ids, self._batch.alternatives)

    def _draw_warm(self, logits: NDArray[np.float32]) -> NDArray[np.intp]:
        weights = _weights(logits, self._temperature)
        if self._limited:
            keep_top(weights, self._top_k, self._top_p)
        cumulative = np.cumsum(weights, axis=1)
        total = cumulative[:, -1]
        target = np.minimum(self._uniform() * total, np.nextafter(total, 0))
        drawn: NDArray[np.intp] = np.argmax(cumulative > target[:, None], axis=1)
        return drawn

    def _uniform(self) -> NDArray[np.float64]:
        place = self.num_drawn - self._ahead_from
        if place >= len(self._ahead):
            self._ahead_from, place = self.num_drawn, 0
            count = min(max(1, 2 * len(self._ahead)), _MAX_AHEAD)
            positions = (
                self._first + np.arange(self.num_drawn, self.num_drawn + count, dtype=np.uint64)[:, None]
            )
            seeds = np.broadcast_to(self._seed, positions.shape)
            self._ahead = uniform(seeds.ravel(), positions.ravel()).reshape(positions.shape)
        numbers: NDArray[np.float64] = self._ahead[place]
        return numbers


def _weights(logits: NDArray[np.float32], temperature: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled = logits.astype(np.float64)
    # Subtracting first keeps a tiny temperature from overflowing. The largest is the same number
    # in single precision, where it is found sooner.
    scaled -= logits.max(axis=1, keepdims=True)
    scaled /= temperature
    return np.exp(scaled, out=scaled)


def keep_top(weights: NDArray[np.float64], top_k: NDArray[np.int64], top_p: NDArray[np.float64]) -> None:
    """Zero what top-k and then top-p (nucleus sampling, Holtzman et al. 2020) leave out, in place."""
    size = weights.shape[1]
    counted = np.flatnonzero((top_k > 0) & (top_k < size))
    if counted.size:
        _keep_largest(weights, counted, top_k[counted])
    nucleus = np.flatnonzero(top_p < 1)
    if nucleus.size:
        limits = np.where(top_k[nucleus] > 0, np.minimum(top_k[nucleus], size), size)
        _keep_nucleus(weights, nucleus, top_p[nucleus], int(limits.max()))


def _keep_largest(weights: NDArray[np.float64], rows: NDArray[np.intp], limits: NDArray[np.int64]) -> None:
    chosen, size = weights[rows], weights.shape[1]
    places = size - limits
    least = np.partition(chosen, sorted(set(places.tolist())), axis=1)[np.arange(len(rows)), places][:, None]
    equal = chosen == least
    keep = chosen > least
    room = limits - keep.sum(axis=1)
    if (equal.sum(axis=1) > room).any():
        equal &= np.cumsum(equal, axis=1) <= room[:, None]  # ties go to the lower ids
    chosen[~(keep | equal)] = 0
    weights[rows] = chosen


def _keep_nucleus(
    weights: NDArray[np.float64], rows: NDArray[np.intp], top_p: NDArray[np.float64], limit: int
) -> None:
    """At most ``limit`` weights of each of the rows are not zero, so only these need an order."""
    chosen = weights[rows]
    if limit < chosen.shape[1]:
        ids = np.sort(np.argpartition(-chosen, limit - 1, axis=1)[:, :limit], axis=1)
        within = np.argsort(-np.take_along_axis(chosen, ids, axis=1), axis=1, kind="stable")
        order = np.take_along_axis(ids, within, axis=1)
    else:
        order = np.argsort(-chosen, axis=1, kind="stable")
    ranked = np.take_along_axis(chosen, order, axis=1)
    reached = np.cumsum(ranked, axis=1)
    bound = top_p[:, None] * reached[:, -1:]
    # A token stays while the more likely ones before it have not reached top_p; the first always does.
    ranked[:, 1:][reached[:, :-1] >= bound] = 0
    kept = np.zeros_like(chosen)
    np.put_along_axis(kept, order, ranked, axis=1)
    weights[rows] = kept


def _with_logprobs(
    logits: NDArray[np.float32], chosen: NDArray[np.intp], alternatives: NDArray[np.int64]
) -> list[Token]:
    tokens: list[Token] = []
    for row, token, count in zip(logits, chosen.tolist(), alternatives.tolist(), strict=True):
        if count < 0:
            tokens.append(Token(token))
            continue
        logprobs = log_softmax(row)
        best = np.argsort(-logprobs, kind="stable")[:count]
        listed = tuple((int(other), float(logprobs[other])) for other in best)
        tokens.append(Token(token, float(logprobs[token]), listed))
    return tokens
