"""Translations of many sentences, for a measure: as the server makes them, by the same search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from app.core.beam import BeamRequest
from app.runtime.beams import BeamSearch, advance
from app.tasks.translate.schema import LENGTH_PENALTY, NO_REPEAT
from training.translate.corpus import Vocabulary
from training.translate.net import Encoder, Translator

_ROWS = 256
_SPARE_TOKENS = 16

Rows = NDArray[np.float32]


class Measured(Protocol):
    """A translator, be it PyTorch's or a bundle's graphs."""

    def encode(self, tokens: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[Rows, Rows]:
        """Sources ``[batch, length]``, padded, to rows ``[batch, S]`` and ``[batch, length, width]``."""

    def step(
        self, tokens: NDArray[np.int64], rows: Rows, attended: Rows, lengths: NDArray[np.int64]
    ) -> tuple[Rows, Rows]:
        """A token ``[batch, 1]`` of each to logits ``[batch, vocabulary]`` and the next rows."""


class MeasuredNet:
    """See :class:`Measured`."""

    def __init__(self, net: Translator) -> None:
        self._net, self._encoder = net.eval(), Encoder(net)

    @torch.no_grad()
    def encode(self, tokens: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[Rows, Rows]:
        device = self._net.device
        rows, attended = self._encoder(torch.from_numpy(tokens).to(device), torch.from_numpy(lengths))
        return rows.cpu().numpy(), attended.cpu().numpy()

    @torch.no_grad()
    def step(
        self, tokens: NDArray[np.int64], rows: Rows, attended: Rows, lengths: NDArray[np.int64]
    ) -> tuple[Rows, Rows]:
        given = [torch.from_numpy(array).to(self._net.device) for array in (tokens, rows, attended, lengths)]
        outputs, after = self._net(given[0], given[1], 0, given[2], given[3])
        return outputs["logits"][:, -1].cpu().numpy(), after.cpu().numpy()


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
    rows, attended = net.encode(tokens, lengths)
    start = np.array([vocabulary.start(target)])
    banned = tuple(range(vocabulary.end + 1, vocabulary.size))
    searches = [
        BeamSearch(
            BeamRequest(
                start,
                width=width,
                max_tokens=2 * len(source) + _SPARE_TOKENS,
                length_penalty=LENGTH_PENALTY,
                end_tokens=frozenset([vocabulary.end]),
                banned=(vocabulary.codec.unknown or 0, *banned),
                no_repeat_ngram=NO_REPEAT,
            )
        )
        for source in sources
    ]
    members = np.repeat(np.arange(len(sources)), width)
    rows, live = rows[members], list(searches)
    while live:
        fed = np.concatenate([search.tokens for search in live])[:, None]
        logits, rows = net.step(fed, rows, attended[members], lengths[members])
        parents = advance(live, logits)
        going = np.repeat([not search.done for search in live], width)
        rows, members = rows[parents][going], members[going]
        live = [search for search in live if not search.done]
    return [search.hypotheses()[0].tokens for search in searches]
