"""Frames to words: labels put together, segments, and the best paths."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.tasks.transcribe.ctc import BLANK, WordReader, best_paths, new_labels
from app.tasks.transcribe.spec import TranscribeSpec
from tests.tasks.transcribe.sounds import RATE

LETTERS = TranscribeSpec(unit="character", units=("a", "b", " "), sample_rate=RATE, step_samples=320)
PIECES = TranscribeSpec(unit="bpe", units=(" a", "b", " c"), sample_rate=RATE, step_samples=320)
WORDS = TranscribeSpec(unit="word", units=("yes", "no"), sample_rate=RATE, step_samples=320)


def logits(path: list[int], labels: int) -> np.ndarray:
    """Of a network that is sure of this path."""
    found = np.zeros((len(path), labels), np.float32)
    found[np.arange(len(path)), path] = 9.0
    return found


def read(spec: TranscribeSpec, path: list[int], pause: int = 5) -> list[list[tuple[str, int, int]]]:
    """Words with the steps at which they were told, by segment."""
    reader = WordReader(spec)
    memory, segments = reader.push({}, logits(path, 1 + len(spec.units)), pause)
    segments += reader.close(memory)[1]
    return [[(word.text, word.first, word.last) for word in segment] for segment in segments]


def test_words_are_put_together_of_words_letters_and_pieces() -> None:
    """A label that lasts is one; with a blank between it is two."""
    assert read(WORDS, [0, 1, 1, 0, 1, 2]) == [[("yes", 1, 2), ("yes", 4, 4), ("no", 5, 5)]]
    assert read(LETTERS, [1, 1, 0, 1, 2, 3, 3, 2, 0, 1]) == [[("aab", 0, 4), ("ba", 7, 9)]]
    assert read(LETTERS, [3, 0, 3, 1]) == [[("a", 3, 3)]]
    assert read(PIECES, [1, 0, 2, 2, 3, 2]) == [[("ab", 0, 3), ("cb", 4, 5)]]


def test_a_pause_ends_a_segment_and_loses_nothing() -> None:
    """Nor does a word that begins where the last segment ended; a pause a step shorter ends none."""
    assert read(WORDS, [1, *[0] * 5, 2]) == [[("yes", 0, 0)], [("no", 6, 6)]]
    assert read(WORDS, [1, *[0] * 4, 2]) == [[("yes", 0, 0), ("no", 5, 5)]]
    assert read(WORDS, [1, *[0] * 5, 1]) == [[("yes", 0, 0)], [("yes", 6, 6)]]
    long = [label for _ in range(300) for label in (1, 0)]
    segments = read(WORDS, long)
    assert sum(map(len, segments)) == 300
    assert len(segments) == 2


def test_a_text_without_spaces_is_cut_too() -> None:
    """After twenty seconds; nothing is lost."""
    segments = read(LETTERS, [label for _ in range(700) for label in (1, 2)])
    assert [(first, last) for ((_, first, last),) in segments] == [(0, 499), (500, 999), (1000, 1399)]
    assert "".join(text for ((text, _, _),) in segments) == "ab" * 700


@settings(max_examples=60, deadline=None)
@given(
    path=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    spec=st.sampled_from([LETTERS, PIECES]),
)
def test_what_is_read_does_not_depend_on_where_outputs_are_cut(
    path: list[int], cuts: list[int], spec: TranscribeSpec
) -> None:
    """Segments end at the same places."""
    reader, segments = WordReader(spec), []
    memory: dict[str, Any] = {}
    given_logits = logits(path, 4)
    for first, last in pairwise([0, *sorted(min(cut, len(path)) for cut in cuts), len(path)]):
        memory, ended = reader.push(memory, given_logits[first:last], 3)
        segments += ended
    segments += reader.close(memory)[1]
    assert [[(word.text, word.first, word.last) for word in one] for one in segments] == read(spec, path, 3)


def all_paths(probabilities: np.ndarray) -> dict[tuple[int, ...], float]:
    """Label sequences with their probabilities, by counting every path."""
    found: dict[tuple[int, ...], float] = {}
    steps, labels = probabilities.shape
    for number in range(labels**steps):
        path = np.array([number // labels**step % labels for step in range(steps)])
        sequence = tuple(path[new_labels(path, BLANK)].tolist())
        found[sequence] = found.get(sequence, 0.0) + float(probabilities[np.arange(steps), path].prod())
    return found


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 6))
def test_the_best_paths_are_those_that_counting_all_finds(seed: int, steps: int) -> None:
    """A wide beam loses none of a small network's."""
    given_logits = np.random.default_rng(seed).normal(0, 1.5, (steps, 3)).astype(np.float32)
    weights = np.exp(given_logits.astype(float))
    expected = all_paths(weights / weights.sum(axis=1, keepdims=True))
    found = best_paths(given_logits, 200, 5)
    ranked = sorted(expected.values(), reverse=True)[:5]
    assert len(found) >= min(2, len(ranked))
    for (labels, logprob), probability in zip(found, ranked, strict=False):
        # What is less likely than a thousandth at a step is not looked at.
        assert np.exp(logprob) == pytest.approx(probability, abs=0.004)
        assert expected[labels] == pytest.approx(probability, abs=0.004)
