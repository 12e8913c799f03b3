"""Training loss and measure of a language model: nats of the tokens it should have predicted."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.generate.corpus import IGNORED, TokenBatch, stream_batches
from training.token_net import TokenNet

_CHUNK = 500


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

    def __call__(self, net: TokenNet, batch: TokenBatch) -> Tensor:
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
def batch_nats(net: TokenNet, batches: Iterable[TokenBatch]) -> float:
    """Total nats of batches in order; states are carried as in training."""
    total, state = 0.0, None
    device = net.device
    for batch in batches:
        if batch.fresh or state is None:
            state = net.start_row().expand(batch.inputs.shape[0], -1)
        outputs, state = net(batch.inputs.to(device), state)
        total += float(token_nats(outputs["logits"], batch.targets.to(device)))
    return total


def stream_nats(net: TokenNet, ids: NDArray[np.int64], boundary: int, num_parts: int = 1) -> float:
    """Total nats of one text, read in order from the start row with the state carried through.

    Args:
        net: in evaluation mode.
        ids: int64 ``[tokens]``, every one of which is predicted when ``num_parts`` is 1.
        boundary: the token fed before the first.
        num_parts: cut the text into parts that each start afresh: faster, slightly worse.
    """
    whole = np.concatenate([[boundary], ids]).astype(np.int64)
    return batch_nats(net, stream_batches(whole, num_parts, _CHUNK))
