"""Before a classifier learns labels: the same embedding and layers as a language model of the texts.

Predicting the next word of many reviews teaches what a few labels cannot (Dai & Le 2015, "LM-LSTM"; Howard &
Ruder 2018). The language model's head is thrown away afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.sentiment.adaptive_head import AdaptiveHead
from training.sentiment.batches import labelled_batches
from training.sentiment.net import Classifier

# Of the words of reviews 87 % are among the first 2,000 tokens, 97 % among the first 10,000.
_CUTOFFS = (2_000, 10_000)
_EVALUATION_LENGTH = 400


@dataclass(frozen=True, slots=True)
class TextChunk:
    """Some steps of texts that are read side by side.

    Attributes:
        tokens: int64 ``[batch, time + 1]``: each but the first is to be told from those before.
        lengths: int64 ``[batch]``: tokens of this chunk that are the text's own; the others are padding.
        first: whether the texts begin here.
    """

    tokens: Tensor
    lengths: Tensor
    first: bool


def text_chunks(
    texts: Sequence[Sequence[int]],
    length: int,
    *,
    max_batch: int,
    batch_tokens: int,
    random: np.random.Generator | None = None,
) -> Iterator[TextChunk]:
    """Texts of similar lengths side by side, cut into chunks of ``length`` predictions, in order.

    Args:
        texts: token ids; texts of one token say nothing and are left out.
        length: predictions of a chunk.
        max_batch: texts side by side.
        batch_tokens: tokens of texts side by side, padding included.
        random: source of the order; without it, shortest first.
    """
    told = [text for text in texts if len(text) > 1]
    batches = labelled_batches(
        told, range(len(told)), max_batch=max_batch, batch_tokens=batch_tokens, random=random
    )
    for batch in batches:
        time = batch.tokens.shape[1]
        for begin, end in pairwise([*range(0, time - 1, length), time - 1]):
            lengths = (batch.lengths - begin).clamp(0, end - begin + 1)
            yield TextChunk(batch.tokens[:, begin : end + 1], lengths, first=begin == 0)


def num_chunks(texts: Sequence[Sequence[int]], length: int, *, max_batch: int, batch_tokens: int) -> int:
    """How many chunks an epoch has, about."""
    return sum(1 for _ in text_chunks(texts, length, max_batch=max_batch, batch_tokens=batch_tokens))


class TextModel(nn.Module):
    """The classifier's embedding and layers under another head: nats of the next token.

    Args:
        classifier: whose weights are trained.
        noise: of its dropouts, this share.
    """

    def __init__(self, classifier: Classifier, noise: float = 1.0) -> None:
        super().__init__()
        config = replace(
            classifier.config,
            dropout=noise * classifier.config.dropout,
            embedding_dropout=noise * classifier.config.embedding_dropout,
            recurrent_dropout=noise * classifier.config.recurrent_dropout,
        )
        # A shallow copy has the same weights.
        self.classifier = copy.copy(classifier)
        self.classifier.config = config
        self.head = AdaptiveHead(config.hidden, config.vocabulary, _CUTOFFS)

    def start(self, batch: int) -> Tensor:
        """State ``[batch, layers]`` that texts begin with."""
        return self.classifier.recurrent.start.expand(batch, -1)

    def forward(self, chunk: TextChunk, state: Tensor) -> tuple[Tensor, Tensor]:
        """Nats of each token that is told, ``[tokens]``, and the state after the chunk."""
        device = self.classifier.device
        tokens, lengths = chunk.tokens.to(device), chunk.lengths.to(device)
        hidden, state = self.classifier.read(tokens[:, :-1], state)
        hidden = functional.dropout(hidden, self.classifier.config.dropout, self.training)
        told = torch.arange(1, tokens.shape[1], device=device) < lengths[:, None]
        if not bool(told.any()):
            return hidden.new_zeros(0), state
        return self.head(hidden[told], tokens[:, 1:][told]), state.float()


class CarriedTextLoss:
    """Mean nats of a chunk's tokens; the state goes on from chunk to chunk of the same texts."""

    def __init__(self) -> None:
        self._state: Tensor | None = None

    def __call__(self, model: TextModel, chunk: TextChunk) -> Tensor:
        """Loss of one chunk; those of an epoch come in order."""
        state = model.start(len(chunk.tokens)) if chunk.first or self._state is None else self._state
        nats, state = model(chunk, state)
        self._state = state.detach()
        mean: Tensor = nats.mean()
        return mean


@torch.no_grad()
def nats_per_token(
    model: TextModel, texts: Sequence[Sequence[int]], max_batch: int, batch_tokens: int
) -> float:
    """Of a model in evaluation mode, over whole texts; their first tokens are not told."""
    total, count = 0.0, 0
    state = model.start(0)
    for chunk in text_chunks(texts, _EVALUATION_LENGTH, max_batch=max_batch, batch_tokens=batch_tokens):
        nats, state = model(chunk, model.start(len(chunk.tokens)) if chunk.first else state)
        total, count = total + float(nats.double().sum()), count + len(nats)
    return total / count
