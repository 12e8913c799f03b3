"""One temperature for a language model, found on held-out text.

Guo et al. 2017, "On Calibration of Modern Neural Networks". A network that has seen its text many times says
too surely what comes next, and one that learned under much dropout not surely enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch

from training.generate.corpus import IGNORED, TokenBatch
from training.generate.measure import read
from training.generate.net import LanguageModel
from training.graph_net import MeasuredNet

# Newton's steps; after one as short as that, the next would be shorter than a thousandth.
_STEPS, _CLOSE = 9, 0.03
_SHARPEST = 2.0
# Of the logarithm: a temperature nearer to 1 costs some 1e-4 nats, and the weights may stay as they are.
_NEAR = 0.02


def calibrate(net: LanguageModel, held_out: Callable[[], Iterable[TokenBatch]]) -> float:
    """Divide the logits of a network in evaluation mode by the temperature that suits held-out text best.

    Returns:
        The temperature, 1 where the weights stay.
    """
    found, _ = best_temperature(net, held_out)
    if abs(math.log(found)) < _NEAR:
        return 1.0
    for parameter in net.head.parameters():
        parameter.data /= found
    if net.config.tied:
        # The table is the embedding as well, whose features are to be what they were.
        net.recurrent.layers.get_parameter("weight_ih_l0").data *= found
    return found


@torch.no_grad()
def best_temperature(net: MeasuredNet, held_out: Callable[[], Iterable[TokenBatch]]) -> tuple[float, float]:
    """The temperature that suits a text best, and the total nats of the text with it.

    By Newton's method: the surprise is convex in the temperature's inverse.
    """
    sharpness = 1.0
    for _ in range(_STEPS):
        nats = slope = curve = 0.0
        for logits, targets in read(net, held_out()):
            told = targets != IGNORED
            beside = logits[told].float()
            beside -= beside.gather(1, targets[told][:, None])
            nats += float((sharpness * beside).logsumexp(dim=1).sum())
            shares = (sharpness * beside).softmax(dim=1)
            mean = (shares * beside).sum(dim=1)
            slope += float(mean.sum())
            curve += float(((shares * beside * beside).sum(dim=1) - mean**2).sum())
        if curve <= 0.0:
            break
        before, sharpness = sharpness, min(max(sharpness - slope / curve, 1 / _SHARPEST), _SHARPEST)
        nats += (sharpness - before) * (slope + curve * (sharpness - before) / 2)
        if abs(sharpness - before) < _CLOSE:
            break
    return 1 / sharpness, nats
