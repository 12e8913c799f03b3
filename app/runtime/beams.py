"""Beam search over the log-probabilities of each step, many searches at once. Pure: there is no graph here.

A search looks at its own rows only and in a fixed order of arithmetic, so its hypotheses have the same bits
in any company. Ties go to the lower beam, then to the more likely token, then to the lower token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.core.beam import BeamRequest, Hypothesis
from app.core.sequence import FinishReason

_NONE = np.empty(0, np.int64)


def score(logprob: float, length: int, length_penalty: float) -> float:
    """``logprob / ((5 + length) / 6) ** length_penalty`` (Wu et al. 2016, section 7, without coverage)."""
    return logprob / float(((5 + length) / 6) ** length_penalty)


@dataclass(slots=True, eq=False)
class _Ended:
    """A hypothesis that ended with step number ``length``; its tokens before are those of ``beam``."""

    score: float
    logprob: float
    length: int
    beam: int
    reason: FinishReason


class BeamSearch:
    """One search. It has ``width`` rows throughout: those without a hypothesis of their own repeat another's.

    It is over when ``width`` hypotheses have ended, when no other can come among the ``n_best`` any more,
    or at ``max_tokens``, where those that are left are cut off.

    Attributes:
        bans_any: whether there may be :meth:`bans`.
        logprobs: ``[width]`` of the live hypotheses, the best first; minus infinity for rows without one.
        tokens: ``[width]``, what the rows are fed next.
        length: tokens of each live hypothesis.
    """

    __slots__ = (
        *("_attention", "_ended", "_fixed_bans", "_history", "_parents", "_request", "_tokens"),
        *("bans_any", "done", "length", "logprobs", "tokens"),
    )

    def __init__(self, request: BeamRequest) -> None:
        self._request = request
        width = request.width
        self.bans_any = bool(request.banned or request.no_repeat_ngram)
        self.logprobs = np.full(width, -np.inf)
        self.logprobs[0] = 0.0
        self.tokens = np.full(width, request.steps[-1], np.int64)
        self.length = 0
        self.done = False
        self._ended: list[_Ended] = []
        # By step, for each row: which row it went on from, and with which token.
        self._parents: list[list[int]] = []
        self._tokens: list[list[int]] = []
        self._attention: list[NDArray[np.float32]] = []
        self._history = np.tile(request.steps, (width, 1)) if request.no_repeat_ngram else None
        banned = np.array(request.banned, np.int64)
        self._fixed_bans = np.repeat(np.arange(width), banned.size), np.tile(banned, width)

    @property
    def width(self) -> int:
        return self._request.width

    @property
    def num_candidates(self) -> int:
        """So many continuations have ``width`` among them that are no ends, as far as there are any."""
        return self.width * (1 + len(self._request.end_tokens))

    def bans(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and the tokens with which they must not go on, as pairs."""
        rows, tokens = self._fixed_bans
        size = self._request.no_repeat_ngram
        history = self._history
        if history is None or history.shape[1] < size:
            return rows, tokens
        # Where the last tokens of a row occur earlier in it, it must not go on as it did there.
        found = np.ones((self.width, history.shape[1] - size + 1), np.bool_)
        for place in range(size - 1):
            last = history[:, history.shape[1] - size + 1 + place, None]
            found &= history[:, place : place + found.shape[1]] == last
        repeating, places = np.nonzero(found)
        repeated = history[repeating, places + size - 1]
        keep = [token not in self._request.end_tokens for token in repeated.tolist()]
        return np.concatenate([rows, repeating[keep]]), np.concatenate([tokens, repeated[keep]])

    def advance(self, logprobs: list[float], beams: list[int], tokens: list[int]) -> list[int]:
        """Go on with the best of ``num_candidates``, the best first; the row that each row goes on from."""
        request = self._request
        width, ends = request.width, request.end_tokens
        self.length += 1
        live: list[float] = []
        parents: list[int] = []
        chosen: list[int] = []
        num_ended = len(self._ended)
        for rank, (logprob, beam, token) in enumerate(zip(logprobs, beams, tokens, strict=True)):
            if logprob == -np.inf:
                break
            if token not in ends:
                live.append(logprob)
                parents.append(beam)
                chosen.append(token)
                if len(live) == width:
                    break
            elif rank < width:  # an end that is not among the best is no better than what goes on
                self._end(logprob, beam, FinishReason.END)
        if not live and len(self._ended) == num_ended:
            # All is banned: what there is stays as it was.
            self.length -= 1
            self._cut_off()
            return list(range(width))
        missing = width - len(live)
        self.logprobs = np.array(live + [-np.inf] * missing)
        parents += parents[:1] * missing or [0] * missing
        chosen += chosen[:1] * missing or [0] * missing
        self.tokens = np.array(chosen, np.int64)
        self._parents.append(parents)
        self._tokens.append(chosen)
        if self._history is not None:
            self._history = np.concatenate([self._history[parents], self.tokens[:, None]], axis=1)
        if len(self._ended) >= width or not live or not self._may_improve(live[0]):
            self.done = True
        elif self.length == request.max_tokens:
            self._cut_off()
        return parents

    def attend(self, attention: NDArray[np.float32]) -> None:
        """Keep what its rows attend to in the next step, ``[width, L]``."""
        self._attention.append(attention.copy())

    def hypotheses(self) -> list[Hypothesis]:
        """The best of those that have ended, best first; of equal ones, the one that ended earlier."""
        best = sorted(self._ended, key=lambda ended: -ended.score)[: self._request.n_best]
        return [self._hypothesis(ended) for ended in best]

    def _end(self, logprob: float, beam: int, reason: FinishReason) -> None:
        scored = score(logprob, self.length, self._request.length_penalty)
        self._ended.append(_Ended(scored, logprob, self.length, beam, reason))

    def _cut_off(self) -> None:
        self.done = True
        for beam, logprob in enumerate(self.logprobs.tolist()):
            if logprob > -np.inf:
                self._end(logprob, beam, FinishReason.LENGTH)

    def _may_improve(self, best: float) -> bool:
        """Whether a live hypothesis may still come among the best: it grows no likelier, only longer."""
        request = self._request
        if len(self._ended) < request.n_best:
            return True
        bound = sorted([ended.score for ended in self._ended], reverse=True)[request.n_best - 1]
        return score(best, request.max_tokens, request.length_penalty) > bound

    def _hypothesis(self, ended: _Ended) -> Hypothesis:
        beam = ended.beam
        beams: list[int] = []  # from the last to the first: of each token, the row that gave it
        tokens: list[int] = []
        for step in reversed(range(ended.length - (ended.reason is FinishReason.END))):
            tokens.append(self._tokens[step][beam])
            beam = self._parents[step][beam]
            beams.append(beam)
        tokens.reverse()
        beams.reverse()
        attention: NDArray[np.float32] | None = None
        if self._attention:
            attention = np.empty((len(beams), self._attention[0].shape[1]), np.float32)
            for step, beam in enumerate(beams):
                attention[step] = self._attention[step][beam]
        return Hypothesis(tokens, ended.logprob, ended.score, ended.reason, attention)


Likeliest = Callable[[NDArray[np.float32], int], tuple[NDArray[np.float32], NDArray[np.int64]]]
"""``(logits [rows, vocabulary], count) ->`` the ``count`` likeliest tokens of each row, the likeliest first.

Log-probabilities ``[rows, count]`` and ids ``[rows, count]``; ties go to the lower id.
"""


def advance(
    searches: Sequence[BeamSearch], logits: NDArray[np.float32], likeliest: Likeliest
) -> NDArray[np.intp]:
    """One step of several searches.

    Args:
        searches: none is done.
        logits: finite ``[rows, vocabulary]``, the rows of the searches one after the other.
        likeliest: finds candidates.

    Returns:
        ``[rows]``: the row that each row goes on from, itself or one of the same search.
    """
    banned_rows, banned_tokens = _bans(searches)
    count = max([search.num_candidates for search in searches])
    if banned_rows.size:  # so that enough are left
        count += int(np.bincount(banned_rows).max())
    found, ids = likeliest(logits, min(count, logits.shape[1]))
    values = found.astype(np.float64)
    if banned_rows.size:
        pairs, places = np.nonzero(ids[banned_rows] == banned_tokens[:, None])
        values[banned_rows[pairs], places] = -np.inf
    values += np.concatenate([search.logprobs for search in searches])[:, None]
    parents = np.empty(len(logits), np.intp)
    alike: dict[tuple[int, int], list[tuple[int, BeamSearch]]] = {}
    first = 0
    for search in searches:
        alike.setdefault((search.width, search.num_candidates), []).append((first, search))
        first += search.width
    for (width, count), members in alike.items():
        rows = np.array([first for first, _ in members])[:, None] + np.arange(width)
        for (first, search), best in zip(members, _best(values[rows], ids[rows], count), strict=True):
            parents[first : first + width] = [first + beam for beam in search.advance(*best)]
    return parents


def _best(
    values: NDArray[np.float64], ids: NDArray[np.int64], count: int
) -> Iterator[tuple[list[float], list[int], list[int]]]:
    """Of each search the ``count`` best log-probabilities, with beams and tokens, from ``[n, width, k]``."""
    num, _, per_beam = values.shape
    values, ids = values.reshape(num, -1), ids.reshape(num, -1)
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    each = np.arange(num)[:, None]
    return zip(
        values[each, order].tolist(), (order // per_beam).tolist(), ids[each, order].tolist(), strict=True
    )


def _bans(searches: Sequence[BeamSearch]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows, and tokens with which they must not go on, as pairs."""
    rows: list[NDArray[np.int64]] = []
    tokens: list[NDArray[np.int64]] = []
    first = 0
    for search in searches:
        if search.bans_any:
            own_rows, own_tokens = search.bans()
            rows.append(own_rows + first)
            tokens.append(own_tokens)
        first += search.width
    if not rows:
        return _NONE, _NONE
    return np.concatenate(rows), np.concatenate(tokens)
