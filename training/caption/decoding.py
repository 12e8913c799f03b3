"""Captions of many pictures, for a measure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.beam import BeamRequest
from app.tasks.caption.schema import LENGTH_PENALTY, NO_REPEAT
from training.attending.search import Measured, best_tokens
from training.caption.corpus import Vocabulary

_ROWS = 256


def captions(
    net: Measured,
    vocabulary: Vocabulary,
    pictures: Iterable[NDArray[Any]],
    width: int,
    max_tokens: int,
    length_penalty: float = LENGTH_PENALTY,
) -> list[str]:
    """In the order of the pictures, which are what the encoder takes."""
    request = BeamRequest(
        np.array([vocabulary.start]),
        width=width,
        max_tokens=max_tokens,
        length_penalty=length_penalty,
        end_tokens=frozenset([vocabulary.end]),
        banned=banned(vocabulary),
        no_repeat_ngram=NO_REPEAT,
    )
    rest, found = iter(pictures), list[str]()
    while group := list(islice(rest, max(1, _ROWS // width))):
        found += _decoded(vocabulary, best_tokens(net, np.stack(group), None, [request] * len(group)))
    return found


def banned(vocabulary: Vocabulary) -> tuple[int, ...]:
    unknown = vocabulary.codec.unknown
    return (vocabulary.start,) if unknown is None else (vocabulary.start, unknown)


def _decoded(vocabulary: Vocabulary, found: Sequence[list[int]]) -> list[str]:
    return [vocabulary.codec.decode(tokens) for tokens in found]
