"""Pictures in batches, each with all its captions, so that it is looked at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from training.caption.views import Views

PAD = -100
"""Of targets; no loss is taken there."""


_PARTS = 3


class Part(NamedTuple):
    """Captions of about one length.

    Which picture of the batch each is of ``[captions]``, and inputs and targets ``[captions, time]``, these
    padded.
    """

    pictures: Tensor
    inputs: Tensor
    targets: Tensor


class Batch(NamedTuple):
    """What was taken of the views of pictures, and all their captions."""

    taken: Tensor
    parts: list[Part]


def batches(
    views: Views,
    captions: Sequence[Sequence[Sequence[int]]],
    size: int,
    unknown: int,
    random: np.random.Generator,
    *,
    mirror: bool,
) -> Iterator[Batch]:
    """Every caption once, in another order with each ``random``.

    Args:
        views: of the pictures.
        captions: of each picture, from the start token to the end token.
        size: pictures of a batch.
        unknown: the token of rare words, which is not learned to be said.
        random: decides the order, and which pictures are mirrored.
        mirror: whether half of them are.
    """
    order = random.permutation(len(captions))
    for first in range(0, len(order), size):
        indices = order[first : first + size]
        flipped = random.random(len(indices)) < (0.5 if mirror else 0.0)
        said = [(place, caption) for place, index in enumerate(indices) for caption in captions[index]]
        said.sort(key=lambda each: len(each[1]))
        cut = -(-len(said) // _PARTS)
        parts = [_part(said[start : start + cut], unknown) for start in range(0, len(said), cut)]
        yield Batch(views.take(indices, flipped), parts)


def _part(said: Sequence[tuple[int, Sequence[int]]], unknown: int) -> Part:
    tokens = [torch.tensor(caption) for _, caption in said]
    targets = pad_sequence([caption[1:] for caption in tokens], batch_first=True, padding_value=PAD)
    return Part(
        torch.tensor([place for place, _ in said]),
        pad_sequence([caption[:-1] for caption in tokens], batch_first=True),
        torch.where(targets == unknown, PAD, targets),
    )
