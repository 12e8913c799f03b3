"""Training loss and measure of a language model: nats of the tokens it should have predicted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from app.bundle.manifest import Quality
from app.features.text import TextCodec
from training.generate.baselines import NgramModel
from training.generate.corpus import IGNORED, TextSplit, TokenBatch, Unit, line_batches, stream_batches
from training.generate.data import Corpus
from training.graph_net import MeasuredNet
from training.tokenizers import LINE_END, character_tokenizer, encode_many, line_end_token

_CHUNK = 500
_NGRAM_ORDERS = (1, 2, 3, 4, 5)


def token_nats(logits: Tensor, targets: Tensor, reduction: str = "sum") -> Tensor:
    """Cross-entropy in nats of ``[batch, time, vocabulary]`` logits against ``[batch, time]`` tokens."""
    flat = logits.float().flatten(0, 1)
    return functional.cross_entropy(flat, targets.flatten(), ignore_index=IGNORED, reduction=reduction)


class CarriedLoss:
    """Mean nats per token; goes on from the state of the batch before unless a batch is fresh.

    The gradient stops at the border of two batches (truncated back-propagation through time).
    """

    def __init__(self) -> None:
        self._state: Tensor | None = None

    def __call__(self, net: MeasuredNet, batch: TokenBatch) -> Tensor:
        """Loss of one batch."""
        device = net.device
        if batch.fresh or self._state is None:
            state = net.start_row().expand(batch.inputs.shape[0], -1)
        else:
            state = self._state
        outputs, state = net(batch.inputs.to(device), state)
        self._state = state.detach().float()
        return token_nats(outputs["logits"], batch.targets.to(device), "mean")


@torch.no_grad()
def read(net: MeasuredNet, batches: Iterable[TokenBatch]) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits ``[batch, time, vocabulary]`` and targets of batches in order, states carried as in training."""
    state = None
    for batch in batches:
        if batch.fresh or state is None:
            state = net.start_row().expand(batch.inputs.shape[0], -1)
        outputs, state = net(batch.inputs.to(net.device), state)
        yield outputs["logits"], batch.targets.to(net.device)


def batch_nats(net: MeasuredNet, batches: Iterable[TokenBatch]) -> float:
    """Total nats of batches in order."""
    return sum(float(token_nats(logits, targets)) for logits, targets in read(net, batches))


def whole_batches(
    texts: Sequence[NDArray[np.int64]], boundary: int, lines: bool, num_parts: int = 1
) -> Iterator[TokenBatch]:
    """Texts from their beginning to their end: each line with its end, or streams in order.

    Args:
        texts: int64 ``[tokens]`` each, every one of which is predicted when ``num_parts`` is 1.
        boundary: the token fed before the first.
        lines: whether each is a line.
        num_parts: cut a stream into parts that each start afresh: faster, slightly worse.
    """
    if lines:
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        yield from line_batches(texts, 256, boundary, order)
        return
    for text in texts:
        whole = np.concatenate([[boundary], text]).astype(np.int64)
        yield from stream_batches(whole, max(1, min(num_parts, len(text) // 200)), _CHUNK)


def total_nats(
    net: MeasuredNet, texts: Sequence[NDArray[np.int64]], boundary: int, lines: bool, num_parts: int = 1
) -> float:
    """Total nats of texts; see :func:`whole_batches`."""
    return batch_nats(net, whole_batches(texts, boundary, lines, num_parts))


def measure(
    net: MeasuredNet, codec: TextCodec, corpus: Corpus, lines: bool, *, baselines: bool = False
) -> Quality:
    """Nats per character of the test part, or its perplexity per word.

    With the n-grams measured beside it when asked for.
    """
    texts, words = corpus.parts.test, corpus.unit == "word"
    test = [np.asarray(ids, np.int64) for ids in encode_many(codec, texts)]
    nats = total_nats(net, test, line_end_token(codec), lines) / count_units(texts, lines, corpus.unit)
    found = ngram_baselines(corpus.parts, lines, codec if words else None) if baselines else {}
    return Quality(
        metric="perplexity per word" if words else "nats per character",
        dataset=corpus.title,
        split=corpus.split,
        value=math.exp(nats) if words else nats,
        higher_is_better=False,
        baselines={name: math.exp(value) for name, value in found.items()} if words else found,
        references=corpus.references,
    )


def dynamic_figure(static: Quality, nats: float, rate: float, decay: float, corpus: Corpus) -> Quality:
    """The same of a network whose weights followed the test part; see :mod:`training.generate.dynamic`."""
    mean = nats / count_units(corpus.parts.test, False, corpus.unit)
    return Quality(
        metric=f"{static.metric}, dynamic evaluation",
        dataset=static.dataset,
        split=f"{static.split}, rate {rate:g}, decay {decay:g}",
        value=math.exp(mean) if corpus.unit == "word" else mean,
        higher_is_better=False,
        baselines={"weights that stay": static.value},
    )


def count_units(texts: Sequence[str], lines: bool, unit: Unit = "character") -> int:
    """Characters or words that are predicted: the end of a line is one."""
    if unit == "word":
        return sum(len(text.split()) + text.count(LINE_END) + lines for text in texts)
    return sum(len(text) + lines for text in texts)


def ngram_baselines(parts: TextSplit, lines: bool, words: TextCodec | None = None) -> dict[str, float]:
    """Nats per character, or per token of ``words``, of n-grams fitted on the training part."""
    codec = words or TextCodec(character_tokenizer(parts.train))
    boundary = line_end_token(codec)
    ending = [boundary] if lines else []
    train = [ids + ending for ids in encode_many(codec, parts.train)]
    test = [ids + ending for ids in encode_many(codec, parts.test)]
    predicted = count_units(parts.test, lines, "word" if words else "character")
    return {
        f"{order}-gram": NgramModel(order, codec.size, boundary).fit(train).nats(test) / predicted
        for order in _NGRAM_ORDERS
    }
