"""Dynamic evaluation: the weights go on learning from what was read.

Krause et al. 2018, "Dynamic Evaluation of Neural Sequence Models", with the decay to the trained weights
and the steps by root mean squares. It says how much of a loss is due to what only the text itself can
tell, such as the names of a play that nobody has read before. Nothing that is served learns.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.generate.corpus import TokenBatch, stream_batches
from training.generate.measure import CarriedLoss, token_nats
from training.generate.net import LanguageModel

# Tokens that are predicted, and then learned from.
_SEGMENT = 20
_RATES = (5e-5, 1e-4, 2e-4)
_DECAYS = (1e-3, 1e-2)
# Of the validation part, to choose among them.
_TRIED = 20_000
_BATCHES = 30


@dataclass(frozen=True, slots=True, eq=False)
class Follower:
    """A network that follows the text.

    Attributes:
        net: as it was trained.
        scales: root mean squares of the training gradients, as each parameter is.
    """

    net: LanguageModel
    scales: list[Tensor]

    @classmethod
    def of(cls, net: LanguageModel, batches: Iterable[TokenBatch]) -> Follower:
        """With the gradients of the first of the training batches."""
        still = _without_noise(net)
        parameters = list(still.parameters())
        squares, loss, number = [torch.zeros_like(each) for each in parameters], CarriedLoss(), 0
        for batch in itertools.islice(batches, _BATCHES):
            gradients = torch.autograd.grad(loss(still, batch), parameters, allow_unused=True)
            for square, gradient in zip(squares, gradients, strict=True):
                if gradient is not None:
                    square += gradient**2
            number += 1
        return cls(net, [(square / number).sqrt() for square in squares])

    def nats(self, ids: NDArray[np.int64], boundary: int, rate: float, decay: float) -> float:
        """Total nats of one text, read in order from the start row; each token counts before it is learned.

        Args:
            ids: int64 ``[tokens]``.
            boundary: the token fed before the first.
            rate: step of a weight whose gradient is as large as in training.
            decay: share of its way back to the trained weight after each step, on average.
        """
        net = _without_noise(self.net)
        parameters, trained = list(net.parameters()), list(self.net.parameters())
        mean = sum(float(scale.sum()) for scale in self.scales) / sum(map(torch.Tensor.numel, parameters))
        steps = [rate / (scale + mean) for scale in self.scales]
        ways = [(decay * scale / mean).clamp(max=1.0) for scale in self.scales]
        total, state = 0.0, net.start_row()[None]
        whole = np.concatenate([[boundary], ids]).astype(np.int64)
        for batch in stream_batches(whole, 1, _SEGMENT):
            outputs, state = net(batch.inputs.to(net.device), state.detach())
            loss = token_nats(outputs["logits"], batch.targets.to(net.device))
            total += float(loss.detach())
            gradients = torch.autograd.grad(loss / batch.targets.numel(), parameters, allow_unused=True)
            with torch.no_grad():
                for weight, gradient, step, way, start in zip(
                    parameters, gradients, steps, ways, trained, strict=True
                ):
                    if gradient is not None:
                        weight.addcmul_(gradient, step, value=-1.0)
                    weight.lerp_(start, way)
        return total


def chosen(follower: Follower, validation: NDArray[np.int64], boundary: int) -> tuple[float, float]:
    """The rate and the decay that do best on the beginning of a validation part."""
    tried = validation[:_TRIED]
    return min(
        itertools.product(_RATES, _DECAYS), key=lambda how: follower.nats(tried, boundary, how[0], how[1])
    )


def _without_noise(net: LanguageModel) -> LanguageModel:
    """A copy in evaluation mode whose layers can be gone back through."""
    still = copy.deepcopy(net).eval()
    still.recurrent.layers.dropout = 0.0
    still.recurrent.layers.train()
    return still
