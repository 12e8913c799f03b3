"""Counter-based random numbers: the n-th number of a seed, without the n-1 before it.

Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3").
A token's random number depends on its seed and position alone, so no neighbour in a batch and
no restart can change a text; so does a step's of a sample path.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLIERS = np.array([[0xD2511F53], [0xCD9E8D57]], np.uint64)
_WEYL = np.array([[0x9E3779B9], [0xBB67AE85]], np.uint64)


def philox4x32(
    counter: tuple[NDArray[np.uint64], ...], key: tuple[NDArray[np.uint64], NDArray[np.uint64]]
) -> tuple[NDArray[np.uint64], ...]:
    """Ten rounds over vectors of counters (four) and keys (two), each 32-bit words ``[n]``; four such."""
    # Words 0 and 2, and words 1 and 3, go through the same operations, so they go together.
    even, odd = np.stack([counter[0], counter[2]]), np.stack([counter[1], counter[3]])
    keys = np.stack(key)
    for _ in range(_ROUNDS):
        product = even * _MULTIPLIERS
        even = (product >> _SHIFT)[::-1] ^ odd ^ keys
        odd = (product & _LOW)[::-1]
        keys = (keys + _WEYL) & _LOW
    return even[0], odd[0], even[1], odd[1]


def uniform(seeds: NDArray[np.uint64], positions: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The uniform number in ``[0, 1)`` of each (seed, position) ``[n]``, with 53 random bits."""
    zero = np.zeros_like(positions)
    words = philox4x32((positions & _LOW, positions >> _SHIFT, zero, zero), (seeds & _LOW, seeds >> _SHIFT))
    high, low = words[0] >> np.uint64(5), words[1] >> np.uint64(6)
    return (high.astype(np.float64) * 67108864.0 + low.astype(np.float64)) / 9007199254740992.0


def normal(seed: int, positions: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The standard normal number of each position, below 2**63, by the transform of Box and Muller (1958)."""
    flat = positions.reshape(-1) << np.uint64(1)
    seeds = np.full(len(flat), seed, np.uint64)
    radius = np.sqrt(-2.0 * np.log1p(-uniform(seeds, flat)))
    angle = 2.0 * np.pi * uniform(seeds, flat | np.uint64(1))
    return (radius * np.cos(angle)).reshape(positions.shape)
