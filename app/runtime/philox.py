"""Counter-based random numbers: the n-th number of a seed, without the n-1 before it.

Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3").
A token's random number depends on its seed and position alone, so no neighbour in a batch and
no restart can change a text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))


def philox4x32(
    counter: tuple[NDArray[np.uint64], ...], key: tuple[NDArray[np.uint64], NDArray[np.uint64]]
) -> tuple[NDArray[np.uint64], ...]:
    """Ten rounds over vectors of counters and keys.

    Args:
        counter: four arrays of 32-bit words, each ``[n]``.
        key: two arrays of 32-bit words, each ``[n]``.

    Returns:
        Four arrays of 32-bit words, each ``[n]``.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        p0, p1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ k0, p1 & _LOW, (p0 >> _SHIFT) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return c0, c1, c2, c3


def uniform(seeds: NDArray[np.uint64], positions: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The uniform number in ``[0, 1)`` of each (seed, position), with 53 random bits.

    Args:
        seeds: ``[n]``.
        positions: ``[n]``.
    """
    zero = np.zeros_like(positions)
    words = philox4x32((positions & _LOW, positions >> _SHIFT, zero, zero), (seeds & _LOW, seeds >> _SHIFT))
    high, low = words[0] >> np.uint64(5), words[1] >> np.uint64(6)
    return (high.astype(np.float64) * 67108864.0 + low.astype(np.float64)) / 9007199254740992.0
