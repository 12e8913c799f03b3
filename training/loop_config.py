"""How the training loop runs, and how a run went."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from app.core.errors import TrainingError
from training.progress import EpochRecord


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How to train.

    Attributes:
        epochs: passes over the data, at most.
        learning_rate: at its highest.
        clip_norm: gradients longer than this are scaled down to it.
        patience: epochs without a better validation score after which training stops.
        weight_decay: of weight matrices; vectors are not decayed.
        seed: of every generator.
        device: ``cpu`` or ``cuda``.
        warmup_steps: steps over which the learning rate rises from zero.
        average_decay: above 0, an exponential moving average of the weights with this decay per
            step is what gets validated and kept (Polyak & Juditsky 1992).
        precision: of the forward and backward pass; weights stay float32.
        optimizer: AdamW (Loshchilov & Hutter 2019), or plain steps along the gradient, which take learning
            rates of 1 to 30 and, averaged, suit language models of small corpora (Merity et al. 2018).
    """

    epochs: int
    learning_rate: float
    clip_norm: float = 1.0
    patience: int = 5
    weight_decay: float = 0.0
    seed: int = 0
    device: str = "cpu"
    warmup_steps: int = 0
    average_decay: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    optimizer: Literal["adamw", "sgd"] = "adamw"

    def __post_init__(self) -> None:
        """Refuse what cannot train.

        Raises:
            TrainingError: a value is out of range; the message names it.
        """
        ranges = (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "positive"),
            ("clip_norm", self.clip_norm > 0, "positive"),
            ("patience", self.patience >= 1, "at least 1"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("warmup_steps", self.warmup_steps >= 0, "0 or more"),
            ("average_decay", 0 <= self.average_decay < 1, "in [0, 1)"),
        )
        for name, holds, allowed in ranges:
            if not holds:
                raise TrainingError(f"{name} is {getattr(self, name)}; it must be {allowed}")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise TrainingError("device is 'cuda', but PyTorch finds no CUDA device here; use 'cpu'")


@dataclass(frozen=True, slots=True)
class FitReport:
    """How a run went.

    Attributes:
        best_epoch: whose weights the network now has, from 0; -1 when no epoch was finished.
        best_score: its validation score.
        epochs_run: epochs finished, those before a resumption included.
        history: one record per epoch.
        seconds: spent training, those before a resumption included.
        interrupted: stopped by the user before the end.
        trouble: what ended the run before its end, if something did; empty otherwise.
        start_score: the network's before training, where it was judged.
    """

    best_epoch: int
    best_score: float
    epochs_run: int
    history: list[EpochRecord]
    seconds: float
    interrupted: bool = False
    trouble: str = ""
    start_score: float = math.inf
