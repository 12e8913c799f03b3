"""The one training loop: batches and a loss go in, the best weights come out.

Every task trains through :func:`fit`. It clips gradients and reports their norm, stops early,
keeps the best weights, and can go on after an interrupt exactly as if there had been none:
the unit of work is the epoch, whose batches depend on nothing but its index and the random
state, both of which the checkpoint holds.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from app.core.errors import TrainingError
from training.checkpoint import capture_random_state, load_checkpoint, restore_random_state, save_checkpoint
from training.loop_config import FitReport, LoopConfig
from training.progress import EpochRecord, Progress

BatchT = TypeVar("BatchT")
NetT = TypeVar("NetT", bound=nn.Module)
_Weights = dict[str, Tensor]

# So many batches in a row without a finite gradient, and the weights are past saving.
MOST_SKIPPED = 20

# Changing these between an interrupt and its resumption does not change what was learned so far.
_FREE_TO_CHANGE = {"epochs", "patience", "device"}


class _Spoilt(Exception):
    """Training cannot go on; the message says why."""


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's global generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def learning_rate_at(step: int, num_steps: int, config: LoopConfig) -> float:
    """Learning rate of a step, counted from 0: a cosine falls to zero over the run of ``num_steps``."""
    warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    done = min(1.0, step / max(1, num_steps))
    return config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * done))


def fit(
    net: NetT,
    *,
    batches: Callable[[int], Iterable[BatchT]],
    batches_per_epoch: int,
    loss: Callable[[NetT, BatchT], Tensor],
    validate: Callable[[NetT], float],
    config: LoopConfig,
    checkpoint: Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    blame: Callable[[BatchT], str] = lambda batch: "",
    judge_start: bool = False,
) -> FitReport:
    """Train ``net`` in place and leave the best weights in it, in evaluation mode.

    A batch whose loss or gradient is not finite is skipped and counted. Many in a row end the run, with
    the best weights so far.

    Args:
        net: the network.
        batches: the batches of an epoch; must depend on the epoch's index and seeds only.
        batches_per_epoch: how many there are, for the learning rate and the time left.
        loss: a scalar to minimise; it may keep a carried state of its own within an epoch.
        validate: score of the network in evaluation mode; lower is better.
        config: how to train.
        checkpoint: where to keep the run after every epoch.
        resume: go on from ``checkpoint``; a finished run is only loaded.
        quiet: show no progress.
        blame: what a batch was made of, for the message about one that had to be skipped.
        judge_start: score the network before training, and keep its weights if no epoch betters them.

    Returns:
        How it went. Ctrl-C ends the run with ``interrupted`` set; the epoch it fell into is
        forgotten, and repeated by a resumption.

    Raises:
        TrainingError: no epoch was finished because losses or gradients were not finite, or the
            checkpoint is of another run.
    """
    run = _Run(net, loss, config, blame)
    if resume:
        if checkpoint is None:
            raise TrainingError("resume needs a checkpoint to resume from")
        run.restore(load_checkpoint(checkpoint))
    else:
        seed_everything(config.seed)
        if judge_start:
            run.judge(validate)
        if checkpoint is not None:
            save_checkpoint(checkpoint, run.content())
    interrupted, trouble = False, ""
    with Progress(config.epochs, batches_per_epoch, len(run.history), quiet) as progress:
        try:
            while not run.finished:
                record = run.epoch(batches(len(run.history)), batches_per_epoch, validate, progress)
                if checkpoint is not None:
                    save_checkpoint(checkpoint, run.content())
                progress.epoch(record, run.best_score)
        except KeyboardInterrupt:
            interrupted = True
        except _Spoilt as error:
            trouble = str(error)
            if run.best_epoch < 0 and not judge_start:
                raise TrainingError(trouble) from error
    net.load_state_dict(run.best)
    net.eval()
    seconds = sum(record.seconds for record in run.history)
    return FitReport(
        run.best_epoch,
        run.best_score,
        len(run.history),
        list(run.history),
        seconds,
        interrupted,
        trouble,
        run.start_score,
    )


class _Run(Generic[NetT, BatchT]):
    """Everything that changes as training goes on."""

    def __init__(
        self,
        net: NetT,
        loss: Callable[[NetT, BatchT], Tensor],
        config: LoopConfig,
        blame: Callable[[BatchT], str],
    ) -> None:
        self._net = net.to(config.device)
        self._blame = blame
        self._loss = loss
        self._config = config
        groups = _parameter_groups(net, config.weight_decay)
        optimizer = torch.optim.SGD if config.optimizer == "sgd" else torch.optim.AdamW
        self._optimizer: torch.optim.Optimizer = optimizer(groups, lr=config.learning_rate)
        self._average: _Weights | None = _copy(net) if config.average_decay else None
        self._step = 0
        self.best = _copy(net)
        self.best_epoch = -1
        self.best_score = self.start_score = math.inf
        self.history: list[EpochRecord] = []

    @property
    def finished(self) -> bool:
        """Whether the epochs, or the patience, are used up."""
        without_gain = len(self.history) - 1 - self.best_epoch
        return len(self.history) >= self._config.epochs or (
            bool(self.history) and without_gain >= self._config.patience
        )

    def epoch(
        self,
        batches: Iterable[BatchT],
        batches_per_epoch: int,
        validate: Callable[[NetT], float],
        progress: Progress,
    ) -> EpochRecord:
        """Train on every batch once, validate, and keep the weights if they are the best."""
        began = time.perf_counter()
        epoch = len(self.history)
        losses: list[float] = []
        norms: list[float] = []
        rate, skipped, in_a_row, trouble = 0.0, 0, 0, ""
        self._net.train()
        for batch in batches:
            rate = learning_rate_at(self._step, self._config.epochs * batches_per_epoch, self._config)
            value, norm = self._train_step(batch, rate)
            if not math.isfinite(value + norm):
                trouble = self._trouble(batch, value, norm, norms[-1] if norms else 0.0)
                skipped, in_a_row = skipped + 1, in_a_row + 1
                if in_a_row == MOST_SKIPPED:
                    raise _Spoilt(trouble)
                continue
            in_a_row = 0
            losses.append(value)
            norms.append(norm)
            progress.step(epoch, value, norm)
        if trouble and not losses:
            raise _Spoilt(trouble)
        if not losses:
            raise TrainingError(f"epoch {epoch + 1} had no batches: the training data is empty")
        score = self._validate(validate)
        record = EpochRecord(
            epoch=epoch,
            loss=float(np.mean(losses)),
            gradient_norm=float(np.mean(norms)),
            max_gradient_norm=float(np.max(norms)),
            clipped=float(np.mean(np.asarray(norms) > self._config.clip_norm)),
            score=score,
            learning_rate=rate,
            seconds=time.perf_counter() - began,
            skipped=skipped,
        )
        self.history.append(record)
        return record

    def _trouble(self, batch: BatchT, value: float, norm: float, last_norm: float) -> str:
        """What to say of a batch that was skipped."""
        made_of = self._blame(batch)
        of = f"; the batch was made of {made_of}" if made_of else ""
        if not math.isfinite(value):
            return (
                f"the loss became {value} at step {self._step} (last gradient norm {last_norm:.3g}){of}; "
                f"a smaller learning rate or clip norm usually cures this"
            )
        return (
            f"the gradient norm became {norm} at step {self._step} (loss {value:.4g}){of}; "
            f"a smaller learning rate or a bounded nonlinearity usually cures this"
        )

    def _train_step(self, batch: BatchT, rate: float) -> tuple[float, float]:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        low = self._config.precision == "bfloat16"
        with torch.autocast(torch.device(self._config.device).type, dtype=torch.bfloat16, enabled=low):
            loss = self._loss(self._net, batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            return value, math.nan
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch left it untyped
        norm = float(nn.utils.clip_grad_norm_(self._net.parameters(), self._config.clip_norm))
        if not math.isfinite(norm):
            return value, norm
        self._optimizer.step()
        self._step += 1
        if self._average is not None:
            # A young average would still be mostly the random start, so it begins with a short memory.
            decay = min(self._config.average_decay, self._step / (self._step + 10))
            with torch.no_grad():
                for name, value_now in self._net.state_dict().items():
                    _mix(self._average[name], value_now, decay)
        return value, norm

    def judge(self, validate: Callable[[NetT], float]) -> None:
        """Score the network as it is, which any epoch must better."""
        self._net.eval()
        with torch.no_grad():
            self.start_score = self.best_score = float(validate(self._net))

    def _validate(self, validate: Callable[[NetT], float]) -> float:
        training = _copy(self._net) if self._average is not None else None
        if self._average is not None:
            self._net.load_state_dict(self._average)
        self._net.eval()
        with torch.no_grad():
            score = float(validate(self._net))
        if math.isnan(score):
            raise TrainingError(f"the validation score is not a number after epoch {len(self.history) + 1}")
        if score < self.best_score:
            self.best, self.best_score, self.best_epoch = _copy(self._net), score, len(self.history)
        if training is not None:
            self._net.load_state_dict(training)
        return score

    def content(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "config": asdict(self._config),
            "net": _copy(self._net),
            "optimizer": self._optimizer.state_dict(),
            "average": self._average,
            "step": self._step,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
            "start_score": self.start_score,
            "history": [asdict(record) for record in self.history],
            "random": capture_random_state(),
        }

    def restore(self, content: dict[str, Any]) -> None:
        """Take over what :meth:`content` returned.

        Raises:
            TrainingError: it belongs to a run with another configuration or network.
        """
        # A setting that an earlier release did not have was at its default.
        usual = {field.name: field.default for field in fields(LoopConfig)}
        ours, theirs = asdict(self._config), usual | content["config"]
        for name in sorted(ours.keys() - _FREE_TO_CHANGE):
            if ours[name] != theirs[name]:
                raise TrainingError(
                    f"the checkpoint was trained with {name}={theirs[name]}, this run has {name}={ours[name]}"
                )
        try:
            self._net.load_state_dict(content["net"])
            self._optimizer.load_state_dict(content["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise TrainingError(f"the checkpoint is of another network: {error}") from error
        self._average = content["average"]
        self._step = content["step"]
        self.best = content["best"]
        self.best_epoch, self.best_score = content["best_epoch"], content["best_score"]
        self.start_score = content.get("start_score", math.inf)
        self.history = [EpochRecord(**record) for record in content["history"]]
        restore_random_state(content["random"])


def _copy(net: nn.Module) -> _Weights:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def _mix(average: Tensor, value: Tensor, decay: float) -> None:
    if average.is_floating_point():
        average.lerp_(value, 1.0 - decay)
    else:
        average.copy_(value)


def _parameter_groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim >= 2]
    vectors = [parameter for parameter in trained if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
