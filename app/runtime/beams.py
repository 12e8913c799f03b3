"""Beam search over the log-probabilities of each step, many searches at once. Pure: there is no graph here.

A search looks at its own rows only and in a fixed order of arithmetic, so its hypotheses have the same bits
in any company. Ties go to the lower beam, then to the more likely token, then to the lower token.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.core.beam import BeamRequest, Hypothesis
from app.core.repeats import Repeats
from app.core.sequence import FinishReason

_NEVER = -math.inf


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
        width: its rows.
        logprobs: of the live hypotheses, the best first; minus infinity for rows without one.
        tokens: what the rows are fed next.
        bans: of each row, the tokens with which it must not go on.
        length: tokens of each live hypothesis.
    """

    __slots__ = (
        *("_attention", "_ended", "_parents", "_repeats", "_request", "_tokens"),
        *("bans", "done", "length", "logprobs", "tokens", "width"),
    )

    def __init__(self, request: BeamRequest) -> None:
        self._request = request
        self.width = width = request.width
        self.logprobs = [0.0] + [_NEVER] * (width - 1)
        self.tokens: list[int] = [int(request.steps[-1])] * width
        self.length = 0
        self.done = False
        self._ended: list[_Ended] = []
        # By step, for each row: which row it went on from, and with which token.
        self._parents: list[list[int]] = []
        self._tokens: list[list[int]] = []
        self._attention: list[NDArray[np.float32]] = []
        self._repeats: list[Repeats] = []  # of each row, if there may be none
        if request.no_repeat_ngram:
            said = Repeats(request.no_repeat_ngram, request.steps.tolist())
            self._repeats = [said.copy() for _ in range(width)]
        self.bans = self._bans()

    @property
    def num_candidates(self) -> int:
        """So many continuations have ``width`` among them that are no ends, as far as there are any."""
        return self.width * (1 + len(self._request.end_tokens))

    def advance(self, logprobs: Sequence[float], beams: Sequence[int], tokens: Sequence[int]) -> list[int]:
        """Go on with the best of these, which come best first; the row that each row goes on from.

        They are ``num_candidates`` or more, besides those that are banned.
        """
        request = self._request
        width, ends = request.width, request.end_tokens
        self.length += 1
        live: list[float] = []
        parents: list[int] = []
        chosen: list[int] = []
        num_ended = len(self._ended)
        rank = 0
        for logprob, beam, token in zip(logprobs, beams, tokens, strict=True):
            if logprob == _NEVER:
                break
            if token in self.bans[beam]:
                continue
            if token not in ends:
                live.append(logprob)
                parents.append(beam)
                chosen.append(token)
                if len(live) == width:
                    break
            elif rank < width:  # an end that is not among the best is no better than what goes on
                self._end(logprob, beam, FinishReason.END)
            rank += 1
        if not live and len(self._ended) == num_ended:
            # All is banned: what there is stays as it was.
            self.length -= 1
            self._cut_off()
            return list(range(width))
        missing = width - len(live)
        self.logprobs = live + [_NEVER] * missing
        parents += parents[:1] * missing or [0] * missing
        chosen += chosen[:1] * missing or [0] * missing
        self.tokens = chosen
        self._parents.append(parents)
        self._tokens.append(chosen)
        if self._repeats:
            self._say(parents, chosen)
        self.bans = self._bans()
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

    def _bans(self) -> list[tuple[int, ...]]:
        banned, ends = self._request.banned, self._request.end_tokens
        if self.length < self._request.min_tokens:
            banned = (*banned, *ends)
        if not self._repeats:
            return [banned] * self.width
        said = [repeats.next() for repeats in self._repeats]
        return [(*banned, *[token for token in row if token not in ends]) if row else banned for row in said]

    def _say(self, parents: list[int], chosen: list[int]) -> None:
        """Of the rows that go on from one row the first takes over what it has said, the others copies."""
        before = self._repeats
        self._repeats = [
            before[parent] if parents.index(parent) == row else before[parent].copy()
            for row, parent in enumerate(parents)
        ]
        for repeats, token in zip(self._repeats, chosen, strict=True):
            repeats.add(token)

    def _end(self, logprob: float, beam: int, reason: FinishReason) -> None:
        scored = score(logprob, self.length, self._request.length_penalty)
        self._ended.append(_Ended(scored, logprob, self.length, beam, reason))

    def _cut_off(self) -> None:
        self.done = True
        for beam, logprob in enumerate(self.logprobs):
            if logprob > _NEVER:
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
    num_banned = max([len(banned) for search in searches for banned in search.bans])
    count = max([search.num_candidates for search in searches]) + num_banned  # so that enough are left
    found, ids = likeliest(logits, min(count, logits.shape[1]))
    if len(searches) == len(logits):  # all of them greedy
        beams = [0] * found.shape[1]
        for search, logprobs, tokens in zip(searches, found.tolist(), ids.tolist(), strict=True):
            so_far = search.logprobs[0]
            search.advance([so_far + logprob for logprob in logprobs], beams, tokens)
        return np.arange(len(logits))
    before = np.array([logprob for search in searches for logprob in search.logprobs])
    values = found.astype(np.float64) + before[:, None]
    parents = [0] * len(logits)
    alike: dict[int, list[tuple[int, BeamSearch]]] = {}
    first = 0
    for search in searches:
        alike.setdefault(search.width, []).append((first, search))
        first += search.width
    for width, members in alike.items():
        rows = np.array([first for first, _ in members])[:, None] + np.arange(width)
        best = _best(values[rows], ids[rows], count + width * num_banned)
        for (first, search), candidates in zip(members, best, strict=True):
            parents[first : first + width] = [first + beam for beam in search.advance(*candidates)]
    return np.array(parents, np.intp)


Candidates = tuple[Sequence[float], Sequence[int], Sequence[int]]
"""Log-probabilities, the best first, with beams and tokens."""


def _best(values: NDArray[np.float64], ids: NDArray[np.int64], count: int) -> Iterator[Candidates]:
    """Of each search the ``count`` best, from ``[n, width, k]``, where those of each beam are in order."""
    num, _, per_beam = values.shape
    values, ids = values.reshape(num, -1), ids.reshape(num, -1)
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    each = np.arange(num)[:, None]
    return zip(
        values[each, order].tolist(), (order // per_beam).tolist(), ids[each, order].tolist(), strict=True
    )
