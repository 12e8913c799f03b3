"""Examples in batches of one source length, so that the encoder meets no padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from training.translate.corpus import Example

PAD = -100
"""Of targets; no loss is taken there."""


class Batch(NamedTuple):
    """Sources ``[batch, length]``; the decoder's inputs and targets ``[batch, time]``, targets padded."""

    source: Tensor
    inputs: Tensor
    targets: Tensor


def batches(
    examples: Sequence[Example], size: int, random: np.random.Generator | None = None
) -> Iterator[Batch]:
    """Every example once; in another order with each ``random``, in one order without."""
    shuffled = random.permutation(len(examples)) if random else np.arange(len(examples))
    # Targets of about one length come together; how long they are is blurred, so that batches differ.
    blur = random.uniform(0, 4, len(examples)) if random else np.zeros(len(examples))
    order = sorted(
        shuffled.tolist(), key=lambda at: (len(examples[at].source), len(examples[at].target) + blur[at])
    )
    groups: list[list[Example]] = []
    for at in order:
        example = examples[at]
        last = groups[-1] if groups else None
        if last is None or len(last) == size or len(last[0].source) != len(example.source):
            groups.append(last := [])
        last.append(example)
    for group in random.permutation(len(groups)) if random else range(len(groups)):
        yield batch_of(groups[group])


def batch_of(examples: Sequence[Example]) -> Batch:
    """Raises ValueError for sources of several lengths."""
    targets = [torch.tensor(example.target) for example in examples]
    return Batch(
        torch.tensor([example.source for example in examples]),
        pad_sequence([target[:-1] for target in targets], batch_first=True),
        pad_sequence([target[1:] for target in targets], batch_first=True, padding_value=PAD),
    )
