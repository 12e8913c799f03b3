"""What all networks of the tests have in common."""

from __future__ import annotations

import torch

from training.cells import Cell

CELLS: tuple[Cell, ...] = ("rnn", "lstm", "gru")


def unsettle(net: torch.nn.Module) -> None:
    """Larger weights than at the start of a training, so that states move and starts differ."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.2)
