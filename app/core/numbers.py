"""Probabilities of logits, and numbers rounded for JSON."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_LOGPROB = -9999.0
"""What JSON says of a token that cannot be drawn: it has no minus infinity."""
_DECIMALS = 6


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities along the last axis, in float64."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    weights: NDArray[np.float64] = np.exp(shifted)
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Natural logs of the probabilities along the last axis, in float64."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities, or their logarithms, to six decimals; never below :data:`LEAST_LOGPROB`."""
    found: NDArray[np.float64] = np.maximum(values, LEAST_LOGPROB).round(_DECIMALS)
    return found
