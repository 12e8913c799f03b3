"""Translations of many sentences, for a measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.core.beam import BeamRequest
from app.tasks.translate.schema import LENGTH_PENALTY, NO_REPEAT
from training.attending.search import Measured, best_tokens
from training.translate.corpus import Vocabulary

_ROWS = 256
_SPARE_TOKENS = 16


def translations(
    net: Measured, vocabulary: Vocabulary, texts: Sequence[str], target: str, width: int
) -> list[str]:
    """In the order of the texts, each of them one sentence; an empty one stays empty."""
    sources = [vocabulary.codec.encode(text) for text in texts]
    found = [""] * len(texts)
    order = sorted((index for index, source in enumerate(sources) if source), key=lambda at: len(sources[at]))
    size = max(1, _ROWS // width)
    for first in range(0, len(order), size):
        group = order[first : first + size]
        for index, tokens in zip(
            group, _search(net, vocabulary, [sources[at] for at in group], target, width), strict=True
        ):
            found[index] = vocabulary.codec.decode(tokens)
    return found


def _search(
    net: Measured, vocabulary: Vocabulary, sources: Sequence[Sequence[int]], target: str, width: int
) -> list[list[int]]:
    lengths = np.array([len(source) + 1 for source in sources])
    tokens = np.full((len(sources), lengths.max()), vocabulary.end, np.int64)
    for row, source in enumerate(sources):
        tokens[row, : len(source)] = source
    starts = tuple(range(vocabulary.end + 1, vocabulary.size))
    requests = [
        BeamRequest(
            np.array([vocabulary.start(target)]),
            width=width,
            max_tokens=2 * len(source) + _SPARE_TOKENS,
            length_penalty=LENGTH_PENALTY,
            end_tokens=frozenset([vocabulary.end]),
            banned=(vocabulary.codec.unknown or 0, *starts),
            no_repeat_ngram=NO_REPEAT,
        )
        for source in sources
    ]
    return best_tokens(net, tokens, lengths, requests)
