"""What training makes small, of logarithms of probabilities ``[batch, time, labels]``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from app.tasks.transcribe.ctc import BLANK
from training.transcribe.batches import UNTOLD, Batch

_LEAST = 1e-6


def ctc(logs: Tensor, batch: Batch) -> Tensor:
    """Connectionist temporal classification (Graves et al. 2006), of a label."""
    return functional.ctc_loss(
        logs.transpose(0, 1),
        batch.labels,
        batch.lengths,
        batch.label_lengths,
        blank=BLANK,
        zero_infinity=True,
    )


def ctc_of(logs: NDArray[np.float32], labels: Sequence[int]) -> float:
    """The same of one string ``[time, labels]``, of all its labels."""
    told, lengths = torch.tensor(labels)[None], (torch.tensor([len(logs)]), torch.tensor([len(labels)]))
    steps = torch.from_numpy(logs)[:, None]
    return float(functional.ctc_loss(steps, told, *lengths, blank=BLANK, reduction="sum", zero_infinity=True))


def flat_start(logs: Tensor, batch: Batch) -> Tensor:
    """Where about each label stands is known at first (Young et al. 2006)."""
    aligned = batch.aligned.to(logs.device).flatten()
    missed = functional.nll_loss(logs.flatten(0, 1), aligned, ignore_index=UNTOLD, reduction="sum")
    return missed / (aligned != UNTOLD).sum().clamp(min=1)


def told_elsewhere(logs: Tensor, batch: Batch) -> Tensor:
    """Where the sounds of a string stand is known: outside of its own a label is told by no path.

    CTC alone must find that out, and needs ten times the epochs for it.
    """
    right = (logs.exp() * batch.possible.to(logs.device)).sum(dim=2)
    within = torch.arange(logs.shape[1]) < batch.lengths[:, None]
    return -torch.log(right + _LEAST)[within.to(logs.device)].mean()
