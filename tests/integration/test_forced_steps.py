"""Forced tokens among drawn ones: they come back, and change no random number of the others."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.sequence import Feedback, Sampling, SequenceRequest
from app.runtime.lanes import Lanes
from tests.integration.test_equivalence import Subject, run_all, subject_of

LENGTH = 12
VOCABULARY = 30


@pytest.fixture(scope="module")
def subject(tiny_models: Path) -> Subject:
    """A language model over letters."""
    return subject_of("tiny-text-lstm", tiny_models)


def forcing(mask: list[bool], tokens: list[int]) -> np.ndarray:
    """The tokens where the mask says so; the others are drawn."""
    return np.where(mask, tokens, -1)


def drawing(forced: np.ndarray | None, seed: int, first: int = 0, temperature: float = 1.3) -> Feedback:
    """Twelve tokens from a seed."""
    length = LENGTH if forced is None else len(forced)
    return Feedback(length, Sampling(temperature, seed=seed, first_position=first), forced=forced)


masks = st.lists(st.booleans(), min_size=LENGTH, max_size=LENGTH)
ids = st.lists(st.integers(1, VOCABULARY - 1), min_size=LENGTH, max_size=LENGTH)


@settings(max_examples=25, deadline=None)
@given(mask=masks, tokens=ids, seed=st.integers(0, 2**62), temperature=st.sampled_from([0.0, 0.7, 1.5]))
def test_each_drawn_token_is_the_one_of_its_position_alone(
    subject: Subject, mask: list[bool], tokens: list[int], seed: int, temperature: float
) -> None:
    """Behind the same tokens, supplied, the same position draws the same."""
    forced = forcing(mask, tokens)
    start = subject.steps(seed % 99, 1, 3)[0]
    request = SequenceRequest(start, feedback=drawing(forced, seed, temperature=temperature))
    (answer,) = asyncio.run(run_all(subject, [request], together=False))
    found = np.array(answer.tokens)
    np.testing.assert_array_equal(found[forced >= 0], forced[forced >= 0])
    again = [
        SequenceRequest(
            np.concatenate([start, found[:place]]),
            feedback=Feedback(1, Sampling(temperature, seed=seed, first_position=place)),
        )
        for place in np.flatnonzero(forced < 0).tolist()
    ]
    alone = asyncio.run(run_all(subject, again, together=False))
    assert [one.tokens[0] for one in alone] == found[forced < 0].tolist()


@settings(max_examples=15, deadline=None)
@given(mask=masks, seed=st.integers(0, 2**62))
def test_forcing_what_would_be_drawn_changes_nothing(subject: Subject, mask: list[bool], seed: int) -> None:
    """So no other position gets another random number."""
    request = SequenceRequest(subject.steps(1, 1, 3)[0], feedback=drawing(None, seed))
    (free,) = asyncio.run(run_all(subject, [request], together=False))
    forced = forcing(mask, [*free.tokens])
    kept = replace(request, feedback=drawing(forced, seed))
    assert asyncio.run(run_all(subject, [kept], together=False)) == [free]


def test_forced_sequences_are_the_same_in_any_company(subject: Subject) -> None:
    """Thirty of all lengths, forced in part, in full or not at all, join, leave and are cut over lanes."""
    random = np.random.default_rng(2)
    requests = []
    for index in range(30):
        forced = np.where(random.random(40) < index % 3 / 2, random.integers(1, VOCABULARY, 40), -1)
        feedback = drawing(forced[: random.integers(1, 40)] if index % 4 else None, index, first=index)
        if index % 6 == 0:
            feedback = replace(feedback, avoided=lambda: [3, 7])
        requests.append(
            SequenceRequest(subject.steps(index, 1, int(random.integers(1, 9)))[0], feedback=feedback)
        )
    alone = asyncio.run(run_all(subject, requests, together=False))
    assert {3, 7} <= {token for answer in alone for token in answer.tokens}
    # Of these nothing is forced.
    assert not {3, 7} & {token for answer in alone[::12] for token in answer.tokens}
    assert asyncio.run(run_all(subject, requests, together=True)) == alone
    assert asyncio.run(run_all(subject, requests, together=True, on_loop=True)) == alone
    assert asyncio.run(run_all(subject, requests, together=True, lanes=Lanes(2))) == alone


def test_a_forced_end_token_ends(subject: Subject) -> None:
    """As a drawn one does; a stop rule hears forced tokens too."""
    forced = np.array([3, 4, 5, 6], np.int64)
    heard: list[int] = []

    def over(token: int) -> bool:
        heard.append(token)
        return token == 5

    ends = replace(drawing(forced, 1), end_tokens=frozenset([5]))
    stops = replace(drawing(forced, 1), stop=over)
    requests = [SequenceRequest(subject.steps(0, 1, 2)[0], feedback=feedback) for feedback in (ends, stops)]
    ended, stopped = asyncio.run(run_all(subject, requests, together=False))
    assert (ended.tokens, stopped.tokens, heard) == ((3, 4), (3, 4, 5), [3, 4, 5])
