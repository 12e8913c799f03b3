"""A plane to be learned from noisy points: the smallest run that shows what training does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from training.loop import fit
from training.loop_config import FitReport, LoopConfig

STEPS = 4


def line() -> nn.Linear:
    """A network with two weights and dropout-free, seeded start."""
    torch.manual_seed(3)
    return nn.Linear(2, 1)


def points(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Noisy points of a plane, the same for the same epoch."""
    random = torch.Generator().manual_seed(epoch)
    for _ in range(STEPS):
        x = torch.randn(8, 2, generator=random)
        yield x, x @ torch.tensor([[1.0], [-2.0]]) + 0.1 * torch.randn(8, 1, generator=random)


def noisy_error(net: nn.Linear, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Squared error under dropout, so that the random state matters."""
    x, y = batch
    return nn.functional.mse_loss(net(nn.functional.dropout(x, 0.2, net.training)), y)


def distance(net: nn.Linear) -> float:
    """How far the weights are from the plane's."""
    return float((net.weight.detach() - torch.tensor([[1.0, -2.0]])).norm())


def train(
    net: nn.Linear, config: LoopConfig, checkpoint: Path | None = None, resume: bool = False
) -> FitReport:
    """Fit the plane."""
    return fit(
        net,
        batches=points,
        batches_per_epoch=STEPS,
        loss=noisy_error,
        validate=distance,
        config=config,
        checkpoint=checkpoint,
        resume=resume,
        quiet=True,
    )


def weights(net: nn.Module) -> list[list[float]]:
    """All weights as plain numbers."""
    return [parameter.flatten().tolist() for parameter in net.parameters()]
