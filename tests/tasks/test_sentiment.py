"""Sentiment requests to sequences, logits to labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.bundle.reader import read_bundle
from app.core.errors import InvalidInput
from app.core.numbers import softmax
from app.core.sequence import BlockRequest, Read
from app.features.text import TextLimits
from app.tasks.sentiment.model import SentimentModel
from app.tasks.sentiment.schema import SentimentAnswer, SentimentRequest


@pytest.fixture
def task(tiny_models: Path) -> SentimentModel:
    """Of a tiny classifier, with small limits."""
    bundle = read_bundle(tiny_models / "tiny-mood-gru" / "1")
    return SentimentModel(bundle, TextLimits(max_texts=2, max_text_chars=40, max_prompt_tokens=5))


def test_the_last_step_is_read_unless_a_trace_is_wanted(task: SentimentModel) -> None:
    """A trace reads every step and knows where each token stands."""
    plain = task.prepare(SentimentRequest(text=["a good film"]))
    traced = task.prepare(SentimentRequest(text=["a good film"], trace=True))
    reads = [one.blocks[0].read for one in (plain, traced) if isinstance(one.blocks[0], BlockRequest)]
    assert (reads, plain.spans) == ([Read.LAST, Read.ALL], None)
    logits = np.array([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0]], np.float32)
    answer = task.finish(traced, [logits])
    assert isinstance(answer, SentimentAnswer)
    result = answer.results[0]
    assert result.trace is not None
    assert [(point.token, point.start, point.end) for point in result.trace] == [
        ("a", 0, 1),
        ("good", 2, 6),
        ("film", 7, 11),
    ]
    assert result.trace[-1].scores == result.scores
    assert (result.label, result.score) == ("negative", result.scores["negative"])
    assert result.scores["negative"] == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        (["a", "b", "c"], "text"),
        (["   \t\n "], "text"),
        (["good", "   "], "text.1"),
        (["x" * 41], "text"),
        (["a a a a a a"], "text"),
    ],
)
def test_texts_that_cannot_be_read_are_refused_by_place(
    task: SentimentModel, texts: list[str], field: str
) -> None:
    """Too many, empty, too long, or too many tokens."""
    with pytest.raises(InvalidInput) as caught:
        task.prepare(SentimentRequest(text=texts))
    assert caught.value.field == field


def test_softmax_is_a_distribution_also_for_extreme_logits() -> None:
    """No overflow, rows sum to one."""
    table = softmax(np.array([[1e4, -1e4, 0], [3, 3, 3]], np.float32))
    np.testing.assert_allclose(table.sum(axis=1), 1)
    np.testing.assert_allclose(table[1], 1 / 3)
