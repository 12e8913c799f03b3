"""Labelled token sequences in padded batches of about equal length and equal cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# How far, relative to its length, a sequence may move from its place in the order of lengths,
# so that batches differ from epoch to epoch.
_JITTER = 0.1
_HEAD_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class LabelledBatch:
    """Padded sequences.

    Attributes:
        tokens: int64 ``[batch, time]``, zeros after the end.
        lengths: int64 ``[batch]``.
        labels: int64 ``[batch]``.
        confidence: float32 ``[batch]``, how sure each label is.
    """

    tokens: Tensor
    lengths: Tensor
    labels: Tensor
    confidence: Tensor


def shorten(tokens: Sequence[int], max_tokens: int) -> list[int]:
    """At most ``max_tokens`` of a text: a quarter of them from its beginning, the others from its end."""
    if len(tokens) <= max_tokens:
        return list(tokens)
    head = int(max_tokens * _HEAD_SHARE)
    return [*tokens[:head], *tokens[len(tokens) - (max_tokens - head) :]]


def labelled_batches(
    sequences: Sequence[Sequence[int]],
    labels: Sequence[int],
    confidence: Sequence[float] = (),
    *,
    max_batch: int,
    batch_tokens: int,
    random: np.random.Generator | None = None,
) -> Iterator[LabelledBatch]:
    """Batches of similar lengths, in random order when ``random`` is given, else shortest first.

    Args:
        sequences: token ids, none empty.
        labels: one per sequence.
        confidence: how sure each label is; empty when all are certain.
        max_batch: sequences of a batch.
        batch_tokens: steps of a batch, padding included; a longer sequence is a batch of its own.
        random: source of the order.
    """
    lengths = np.asarray([len(sequence) for sequence in sequences])
    keys = lengths if random is None else lengths * random.uniform(1 - _JITTER, 1 + _JITTER, len(lengths))
    if random is None:
        order = np.argsort(keys, kind="stable")
    else:
        # Equal lengths are many among short texts: a second key keeps them from one order for ever.
        order = np.lexsort((random.random(len(lengths)), np.round(keys)))
    cuts = _cut(lengths[order], max_batch, batch_tokens)
    groups = np.split(order, cuts)
    sequence_of_groups = range(len(groups)) if random is None else random.permutation(len(groups))
    for index in sequence_of_groups:
        yield _pad(sequences, labels, confidence, groups[index])


def num_labelled_batches(sequences: Sequence[Sequence[int]], max_batch: int, batch_tokens: int) -> int:
    """About how many batches :func:`labelled_batches` yields."""
    lengths = np.sort([len(sequence) for sequence in sequences])
    return len(_cut(lengths, max_batch, batch_tokens)) + 1


def _cut(lengths: NDArray[np.int64], max_batch: int, batch_tokens: int) -> list[int]:
    cuts: list[int] = []
    begin, widest = 0, 0
    for position, length in enumerate(lengths):
        widest = max(widest, int(length))
        size = position - begin + 1
        if size > 1 and (size > max_batch or size * widest > batch_tokens):
            cuts.append(position)
            begin, widest = position, int(length)
    return cuts


def _pad(
    sequences: Sequence[Sequence[int]],
    labels: Sequence[int],
    confidence: Sequence[float],
    rows: NDArray[np.int64],
) -> LabelledBatch:
    chosen = [sequences[row] for row in rows]
    lengths = [len(sequence) for sequence in chosen]
    tokens = np.zeros((len(chosen), max(lengths)), np.int64)
    for row, sequence in enumerate(chosen):
        tokens[row, : len(sequence)] = sequence
    return LabelledBatch(
        tokens=torch.from_numpy(tokens),
        lengths=torch.tensor(lengths),
        labels=torch.tensor([labels[row] for row in rows]),
        confidence=torch.tensor([confidence[row] if confidence else 1.0 for row in rows]),
    )
