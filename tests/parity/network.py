"""A recurrent network that knows the parity of the bits it has read, by weights set by hand.

The state holds ``a = relu(x + s)`` and ``b = relu(x + s - 1)``, where ``s = a - 2 b`` was the parity before
the bit ``x``; then ``a - 2 b`` is the parity after it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from tests.parity.task import ParitySpec
from training.export import describe_run, export_bundle
from training.found_layers import ModuleNet


class ParityNetwork(nn.Module):
    """Bits ``[batch, time]`` in, the running parity ``[batch, time, 1]`` out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2, 1)
        self.recurrent = nn.RNN(1, 2, nonlinearity="relu", batch_first=True)
        self.head = nn.Linear(2, 1)
        with torch.no_grad():
            self.embedding.weight.copy_(torch.tensor([[0.0], [1.0]]))
            self.recurrent.get_parameter("weight_ih_l0").copy_(torch.tensor([[1.0], [1.0]]))
            self.recurrent.get_parameter("weight_hh_l0").copy_(torch.tensor([[1.0, -2.0], [1.0, -2.0]]))
            self.recurrent.get_parameter("bias_ih_l0").copy_(torch.tensor([0.0, -1.0]))
            self.recurrent.get_parameter("bias_hh_l0").zero_()
            self.head.weight.copy_(torch.tensor([[1.0, -2.0]]))
            self.head.bias.zero_()

    def forward(self, bits: torch.Tensor) -> torch.Tensor:
        """The parity after each bit."""
        states, _ = self.recurrent(self.embedding(bits))
        found: torch.Tensor = self.head(states)
        return found


def export_parity(models: Path, version: str = "1") -> Path:
    """The network as a bundle, by the training package."""
    return export_bundle(
        ModuleNet(ParityNetwork().eval()),
        out=models,
        name="parity",
        version=version,
        description="Running parity of bits.",
        spec=ParitySpec(),
        provenance=describe_run("tests", 0),
        golden_steps=np.random.default_rng(0).integers(0, 2, (3, 24)),
    )
