"""What training does before the training proper, as the loop needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from training.loop import fit
from training.loop_config import FitReport, LoopConfig


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One run of :func:`training.loop.fit` on a network that shares weights with the recipe's own.

    Attributes:
        name: of its checkpoint, beside that of the training proper.
        net: what is trained; the best weights are left in it.
        batches: of an epoch; they depend on the epoch and the seed alone.
        batches_per_epoch: about how many there are.
        loss: a scalar to minimise.
        validate: lower is better.
        config: how to train.
        done: told how it went.
    """

    name: str
    net: nn.Module
    batches: Callable[[int], Iterable[Any]]
    batches_per_epoch: int
    loss: Callable[[Any, Any], Tensor]
    validate: Callable[[Any], float]
    config: LoopConfig
    done: Callable[[FitReport], None]

    def fit(self, beside: Path | None, *, resume: bool, quiet: bool) -> FitReport:
        """Train, or go on with it, as :func:`training.loop.fit`; ``beside`` keeps the training proper."""
        return fit(
            self.net,
            batches=self.batches,
            batches_per_epoch=self.batches_per_epoch,
            loss=self.loss,
            validate=self.validate,
            config=self.config,
            checkpoint=self.checkpoint(beside),
            resume=resume,
            quiet=quiet,
        )

    def checkpoint(self, beside: Path | None) -> Path | None:
        """Where this stage is kept, given where the training proper is."""
        return None if beside is None else beside.with_name(f"{beside.name}.{self.name}")
