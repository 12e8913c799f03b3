"""Doubt about a text that the tokenizer hardly knows: another language, or no language at all.

All words that training never saw read as one unknown token, so a verdict on many of them says little. How
often the rule warns of English texts, and of others: ``python -m benchmarks.unknown``, docs/your-data.md.
"""

from __future__ import annotations

from app.features.text import TextCodec

UNKNOWN_SHARE = 0.25
# One unknown word among a few is a name more often than another language.
UNKNOWN_LEAST = 2


def count_unknown(codec: TextCodec, ids: list[int]) -> int:
    """How many of ``ids`` stand for something that training never saw."""
    return 0 if codec.replacing is None else ids.count(codec.replacing)


def doubted(unknown: int, tokens: int) -> bool:
    """Whether so many unknown tokens of a text deserve a warning."""
    if unknown == tokens:
        return True
    return unknown >= UNKNOWN_LEAST and unknown >= UNKNOWN_SHARE * tokens


def warning(unknown: int, tokens: int) -> str | None:
    """What to say of a text of ``tokens`` tokens, of which ``unknown`` are unknown; ``None`` if nothing."""
    if not doubted(unknown, tokens):
        return None
    return (
        f"the model knows {tokens - unknown} of {tokens} tokens, so its verdict says little; "
        "the text may be in a language that it was not trained on"
    )
