"""Beam search against brute force, greedy decoding and forced decoding, on networks of a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.beam import BeamRequest, Hypothesis
from app.core.numbers import log_softmax
from app.core.sequence import FinishReason
from app.runtime.beams import BeamSearch, advance, score

END, START = 0, 1


@dataclass(frozen=True)
class Toy:
    """A recurrent network of three numbers over a small vocabulary; ``coarse`` logits tie often."""

    seed: int
    vocabulary: int
    coarse: bool = False

    def step(self, rows: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits and next rows; each row by itself, so that it has the same bits in any company."""
        random = np.random.default_rng(self.seed)
        within, fed = random.normal(0, 2, (3, 3)), random.normal(0, 2, (self.vocabulary, 3))
        out = random.normal(0, 2, (3, self.vocabulary))
        after = np.stack(
            [np.tanh(row @ within + fed[token]) for row, token in zip(rows, tokens, strict=True)]
        )
        logits = np.stack([row @ out for row in after])
        return (np.round(logits) if self.coarse else logits).astype(np.float32), after

    def logprobs(self, steps: Sequence[int], tokens: Sequence[int]) -> list[float]:
        """Forced decoding: the log-probability of each of ``tokens`` behind ``steps``."""
        row, found = np.zeros((1, 3)), []
        whole = [*steps, *tokens]
        for place, token in enumerate(whole[:-1], 1):
            logits, row = self.step(row, np.array([token]))
            if place >= len(steps):
                found.append(float(log_softmax(logits)[0, whole[place]]))
        return found


def likeliest(logits: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """By a whole sort, in double precision."""
    logprobs = log_softmax(logits)
    ids = np.argsort(-logits, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(logprobs, ids, axis=1), ids


def find(toy: Toy, requests: Sequence[BeamRequest]) -> list[list[Hypothesis]]:
    """The hypotheses of searches that advance together while they last."""
    searches = [BeamSearch(request) for request in requests]
    rows: dict[int, np.ndarray] = {}
    for index, request in enumerate(requests):
        row = np.zeros((1, 3))
        for token in request.steps[:-1]:
            _, row = toy.step(row, np.array([token]))
        rows[index] = np.repeat(row, request.width, axis=0)
    while running := [index for index, search in enumerate(searches) if not search.done]:
        together = [searches[index] for index in running]
        logits, after = toy.step(
            np.concatenate([rows[index] for index in running]),
            np.concatenate([search.tokens for search in together]),
        )
        after = after[advance(together, logits, likeliest)]
        for index in running:
            rows[index], after = np.split(after, [requests[index].width])
    return [search.hypotheses() for search in searches]


def ask(width: int = 4, max_tokens: int = 6, *steps: int, **fields: Any) -> BeamRequest:
    """A search from a start token."""
    request = BeamRequest(
        np.array(steps or (START,), np.int64), width, max_tokens, width, end_tokens=frozenset([END])
    )
    return replace(request, **fields)


def told(hypotheses: Sequence[Hypothesis]) -> list[tuple[list[int], float, float, FinishReason]]:
    """All of hypotheses, to be compared."""
    return [(one.tokens, one.logprob, one.score, one.reason) for one in hypotheses]


def brute_force(toy: Toy, request: BeamRequest) -> list[tuple[float, list[int], FinishReason]]:
    """Every hypothesis that the request allows, the best first."""
    found: list[tuple[float, list[int], FinishReason]] = []
    steps = request.steps.tolist()
    allowed = [token for token in range(toy.vocabulary) if token not in request.banned]

    def end(tokens: list[int], reason: FinishReason) -> None:
        logprob = sum(toy.logprobs(steps, tokens))
        kept = tokens[:-1] if reason is FinishReason.END else tokens
        found.append((score(logprob, len(tokens), request.length_penalty), kept, reason))

    live: list[list[int]] = [[]]
    while live:
        longer = [
            [*tokens, token]
            for tokens in live
            for token in allowed
            if may_follow(token, [*steps, *tokens], request)
        ]
        for tokens in longer:
            if tokens[-1] == END:
                end(tokens, FinishReason.END)
        if not longer:
            for tokens in live:
                end(tokens, FinishReason.LENGTH)
        live = [tokens for tokens in longer if tokens[-1] != END]
        if live and len(live[0]) == request.max_tokens:
            for tokens in live:
                end(tokens, FinishReason.LENGTH)
            live = []
    return sorted(found, key=lambda one: -one[0])


def may_follow(token: int, before: list[int], request: BeamRequest) -> bool:
    """Whether a sequence goes on with a token, or ends: an end is no repetition, and may come too soon."""
    if token == END:
        return len(before) - len(request.steps) >= request.min_tokens
    return not repeats([*before, token], request.no_repeat_ngram)


def repeats(tokens: list[int], size: int) -> bool:
    """Whether the last ``size`` tokens occur earlier as well."""
    grams = [tokens[place : place + size] for place in range(len(tokens) - size + 1)]
    return size > 0 and grams[-1:] != [] and grams[-1] in grams[:-1]


toys = st.builds(Toy, st.integers(0, 10_000), st.integers(2, 5))


@settings(max_examples=60, deadline=None)
@given(
    toy=toys,
    max_tokens=st.integers(1, 4),
    length_penalty=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    ngram=st.sampled_from([0, 0, 1, 2, 3]),
    banned=st.sampled_from([(), (), (1,)]),
    min_tokens=st.sampled_from([0, 0, 1, 3]),
    steps=st.lists(st.integers(1, 1), min_size=1, max_size=3),
)
def test_a_beam_that_holds_everything_finds_the_best(
    toy: Toy,
    max_tokens: int,
    length_penalty: float,
    ngram: int,
    banned: tuple[int, ...],
    min_tokens: int,
    steps: list[int],
) -> None:
    """As wide as there are hypotheses, it gives those of brute force, in their order."""
    width = toy.vocabulary**max_tokens
    request = ask(
        width,
        max_tokens,
        *steps,
        n_best=min(5, width),
        length_penalty=length_penalty,
        no_repeat_ngram=ngram,
        banned=banned,
        min_tokens=min_tokens,
    )
    (found,) = find(toy, [request])
    wanted = brute_force(toy, request)[: request.n_best]
    assert [one.tokens for one in found] == [tokens for _, tokens, _ in wanted]
    assert [one.score for one in found] == pytest.approx([scored for scored, _, _ in wanted])
    assert [one.reason for one in found] == [reason for _, _, reason in wanted]


def textbook(toy: Toy, request: BeamRequest) -> list[tuple[float, list[int], FinishReason]]:
    """A beam search by lists of tokens, which goes on until ``width`` hypotheses have ended."""
    found: list[tuple[float, list[int], FinishReason]] = []
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    for length in range(1, request.max_tokens + 1):
        candidates: list[tuple[float, int, float, int, list[int]]] = []
        for beam, (total, tokens) in enumerate(live):
            for token in range(toy.vocabulary):
                logprob = toy.logprobs(request.steps.tolist(), [*tokens, token])[-1]
                candidates.append((-(total + logprob), beam, -logprob, token, [*tokens, token]))
        candidates.sort()
        live = []
        for rank, (negative, _, _, token, tokens) in enumerate(candidates):
            if token not in request.end_tokens:
                live.append((-negative, tokens))
            elif rank < request.width:
                scored = score(-negative, length, request.length_penalty)
                found.append((scored, tokens[:-1], FinishReason.END))
            if len(live) == request.width:
                break
        if len(found) >= request.width or not live:
            break
        if length == request.max_tokens:
            for total, tokens in live:
                found.append((score(total, length, request.length_penalty), tokens, FinishReason.LENGTH))
    return sorted(found, key=lambda one: -one[0])[: request.n_best]


@settings(max_examples=150, deadline=None)
@given(
    toy=st.builds(Toy, st.integers(0, 10_000), st.sampled_from([6, 5, 4, 2]), st.booleans()),
    width=st.sampled_from([3, 4, 5, 2, 1]),
    max_tokens=st.sampled_from([6, 9, 3, 2, 1]),
    length_penalty=st.sampled_from([0.0, 0.6, 2.0]),
    end_tokens=st.sampled_from([frozenset([END]), frozenset([END, 2]), frozenset([END, 2, 3]), frozenset()]),
    data=st.data(),
)
def test_a_narrow_beam_finds_what_the_textbook_does(
    toy: Toy,
    width: int,
    max_tokens: int,
    length_penalty: float,
    end_tokens: frozenset[int],
    data: st.DataObject,
) -> None:
    """Ends, ties and the early stop included: who ends sooner has lost nothing that was asked for."""
    n_best = data.draw(st.sampled_from(range(width, 0, -1)))
    fields: dict[str, Any] = {"n_best": n_best, "length_penalty": length_penalty, "end_tokens": end_tokens}
    request = ask(width, max_tokens, **fields)
    (found,) = find(toy, [request])
    assert [(one.score, one.tokens, one.reason) for one in found] == textbook(toy, request)


@settings(max_examples=60, deadline=None)
@given(
    toy=st.builds(Toy, st.integers(0, 10_000), st.integers(4, 8)),
    ngram=st.sampled_from([0, 2, 3]),
    min_tokens=st.sampled_from([0, 0, 2, 5]),
    max_tokens=st.integers(1, 12),
)
def test_a_beam_of_one_is_greedy(toy: Toy, ngram: int, min_tokens: int, max_tokens: int) -> None:
    """The likeliest token that is allowed at each step, until the end token or the maximum."""
    request = ask(1, max_tokens, no_repeat_ngram=ngram, min_tokens=min_tokens)
    (found,) = find(toy, [request])
    row, history, total = np.zeros((1, 3)), [START], 0.0
    reason = FinishReason.LENGTH
    while len(history) <= max_tokens:
        logits, row = toy.step(row, np.array(history[-1:]))
        logprobs = log_softmax(logits)[0]
        order = sorted(range(toy.vocabulary), key=lambda token: (-logits[0, token], token))
        allowed = [token for token in order if may_follow(token, history, request)]
        total += logprobs[allowed[0]]
        if allowed[0] == END:
            reason = FinishReason.END
            break
        history.append(allowed[0])
    assert [(one.tokens, one.reason) for one in found] == [(history[1:], reason)]
    assert found[0].logprob == pytest.approx(total)


@settings(max_examples=60, deadline=None)
@given(toy=st.builds(Toy, st.integers(0, 10_000), st.integers(2, 30)), width=st.integers(1, 6))
def test_scores_are_sorted_and_are_those_of_forced_decoding(toy: Toy, width: int) -> None:
    """Each is the sum over its tokens, the end token included, divided by the penalty of its length."""
    request = ask(width, 8, START, START)
    (found,) = find(toy, [request])
    assert found == sorted(found, key=lambda one: -one.score)
    assert len({(*one.tokens, one.reason) for one in found}) == len(found) <= width
    for one in found:
        ended = [END] if one.reason is FinishReason.END else []
        forced = toy.logprobs(request.steps.tolist(), [*one.tokens, *ended])
        assert one.logprob == pytest.approx(sum(forced), abs=1e-9)
        assert one.score == pytest.approx(sum(forced) / ((5 + len(forced)) / 6) ** 0.6, abs=1e-9)
        assert len(forced) <= 8
        assert ended or len(forced) == 8


searches = st.builds(
    lambda width, max_tokens, steps, n_best, ngram, banned, min_tokens: ask(
        width,
        max_tokens,
        *steps,
        n_best=min(n_best, width),
        no_repeat_ngram=ngram,
        banned=banned,
        min_tokens=min_tokens,
    ),
    st.integers(1, 6),
    st.integers(1, 10),
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.integers(1, 6),
    st.sampled_from([0, 0, 1, 2]),
    st.sampled_from([(), (2,), (2, 3)]),
    st.sampled_from([0, 0, 4]),
)


@settings(max_examples=60, deadline=None)
@given(
    toy=st.builds(Toy, st.integers(0, 10_000), st.integers(4, 12), st.booleans()),
    requests=st.lists(searches, min_size=2, max_size=8),
    data=st.data(),
)
def test_neighbours_never_matter(toy: Toy, requests: list[BeamRequest], data: st.DataObject) -> None:
    """Alone, together and in another order a search has the same hypotheses, bit for bit, ties included."""
    alone = [told(find(toy, [request])[0]) for request in requests]
    assert list(map(told, find(toy, requests))) == alone
    order = data.draw(st.permutations(range(len(requests))))
    shuffled = find(toy, [requests[index] for index in order])
    assert list(map(told, shuffled)) == [alone[index] for index in order]


@settings(max_examples=60, deadline=None)
@given(toy=toys, width=st.integers(1, 5), max_tokens=st.integers(1, 10))
def test_how_many_are_asked_for_does_not_change_which_are_best(toy: Toy, width: int, max_tokens: int) -> None:
    """Fewer may end the search sooner, and never other than the first of more."""
    (every,) = find(toy, [ask(width, max_tokens)])
    for n_best in range(1, width):
        (some,) = find(toy, [ask(width, max_tokens, n_best=n_best)])
        assert told(some) == told(every[:n_best])


def test_a_search_that_can_go_on_with_nothing_is_cut_off() -> None:
    """All tokens but one are banned, and that one may not come twice: what there is stays."""
    request = ask(3, 9, banned=(END, 2), no_repeat_ngram=2)
    (found,) = find(Toy(1, 4), [request])
    assert [one.reason for one in found] == [FinishReason.LENGTH] * len(found)
    assert all(set(one.tokens) <= {1, 3} and len(one.tokens) < 9 for one in found)
    nothing = ask(2, 5, banned=(0, 1, 2, 3))
    assert told(find(Toy(1, 4), [nothing])[0]) == [([], 0.0, 0.0, FinishReason.LENGTH)]
