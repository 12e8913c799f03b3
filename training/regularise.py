"""Noise that keeps recurrent networks from learning their training texts by heart.

All of it acts in training mode only, so a graph never contains any.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional


@contextmanager
def dropped_recurrent_weights(layers: nn.RNNBase, probability: float, training: bool) -> Iterator[None]:
    """DropConnect on the hidden-to-hidden weights for the calls inside the block.

    One mask serves all steps of a call, so the fused kernels stay in use (Merity et al. 2018,
    "Regularizing and Optimizing LSTM Language Models").
    """
    if not training or probability == 0.0:
        yield
        return
    whole = layers._flat_weights
    layers._flat_weights = [
        functional.dropout(weight, probability)
        if weight is not None and name.startswith("weight_hh")
        else weight
        for name, weight in zip(layers._flat_weights_names, whole, strict=True)
    ]
    try:
        yield
    finally:
        layers._flat_weights = whole


def locked_dropout(x: Tensor, probability: float, training: bool) -> Tensor:
    """Dropout with one mask for all steps (Gal & Ghahramani 2016).

    Args:
        x: ``[batch, time, features]``.
        probability: of dropping a feature of a sequence.
        training: whether to drop at all.
    """
    if not training or probability == 0.0:
        return x
    keep = 1.0 - probability
    mask = torch.empty(x.shape[0], 1, x.shape[2], device=x.device, dtype=x.dtype).bernoulli_(keep)
    return x * mask / keep


def drop_tokens(tokens: Tensor, probability: float, unknown: int, training: bool) -> Tensor:
    """Replace tokens by the unknown token at random.

    Args:
        tokens: ``[batch, time]``.
        probability: of replacing one.
        unknown: id of the unknown token.
        training: whether to replace at all.
    """
    if not training or probability == 0.0:
        return tokens
    return torch.where(torch.rand(tokens.shape, device=tokens.device) < probability, unknown, tokens)
