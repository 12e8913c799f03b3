"""A user's own data in three parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

ItemT = TypeVar("ItemT")
_LEAST = 10


def parted(items: Sequence[ItemT], share: float, seed: int) -> tuple[list[ItemT], list[ItemT], list[ItemT]]:
    """At random, for training, validation and test; ``share`` is that of each of the latter two."""
    order = np.random.default_rng(seed).permutation(len(items)).tolist()
    count = max(_LEAST, round(share * len(items)))
    parts = order[2 * count :], order[count : 2 * count], order[:count]
    train, validation, test = ([items[index] for index in part] for part in parts)
    return train, validation, test
