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


class Batch(NamedTuple):
    """What was taken of the views of pictures; how many captions each has; their inputs and targets.

    Inputs and targets are ``[captions, time]``, targets padded.
    """

    taken: Tensor
    counts: Tensor
    inputs: Tensor
    targets: Tensor


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
        said = [torch.tensor(caption) for index in indices for caption in captions[index]]
        targets = pad_sequence([caption[1:] for caption in said], batch_first=True, padding_value=PAD)
        yield Batch(
            views.take(indices, flipped),
            torch.tensor([len(captions[index]) for index in indices]),
            pad_sequence([caption[:-1] for caption in said], batch_first=True),
            torch.where(targets == unknown, PAD, targets),
        )
