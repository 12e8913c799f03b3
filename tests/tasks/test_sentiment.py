"""Sentiment requests to sequences, logits to labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from app.bundle.reader import read_bundle
from app.core.errors import InvalidInput
from app.core.numbers import softmax
from app.core.sequence import BlockRequest, Read
from app.features.text import TextCodec, TextLimits
from app.tasks.sentiment.doubt import count_unknown, doubted, warning
from app.tasks.sentiment.model import SentimentModel
from app.tasks.sentiment.schema import SentimentAnswer, SentimentRequest
from training.tokenizers import bpe_tokenizer


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


@pytest.mark.parametrize(
    ("unknown", "tokens", "expected"),
    [(0, 10, False), (1, 1, True), (1, 2, False), (2, 2, True), (2, 8, True), (2, 9, False), (30, 100, True)],
)
def test_doubt_needs_a_quarter_of_the_tokens_and_two_or_all(
    unknown: int, tokens: int, expected: bool
) -> None:
    """One unknown name among a few words is no reason; a text of nothing else is."""
    assert doubted(unknown, tokens) == expected
    said = warning(unknown, tokens)
    assert (said is not None) == expected
    assert said is None or said.startswith(f"the model knows {tokens - unknown} of {tokens} tokens")


def test_unknown_tokens_are_counted_whatever_a_tokenizer_calls_them() -> None:
    """That of its model; a tokenizer over bytes knows all that there is."""
    words = WordLevel({"[UNK]": 0, "good": 1}, unk_token="[UNK]")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = Whitespace()
    codec = TextCodec(tokenizer.to_str())
    assert count_unknown(codec, codec.encode("good böse good übel")) == 2
    over_bytes = TextCodec(bpe_tokenizer(["good"], 300))
    assert count_unknown(over_bytes, over_bytes.encode("これは")) == 0
