"""What the recipes share: recorded commands, overridden settings, and training with a checkpoint."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from app.bundle.manifest import Source
from app.core.errors import DataError, TrainingError
from training.loop import FitReport, LoopConfig, fit

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BatchT = TypeVar("BatchT")
NetT = TypeVar("NetT", bound=nn.Module)
SettingsT = TypeVar("SettingsT", bound="DataclassInstance")

CellName = Literal["rnn", "lstm", "gru"]
NonlinearityName = Literal["tanh", "relu"]
PrecisionName = Literal["float32", "bfloat16"]


class LoopSettings(Protocol):
    """The least a recipe's settings hold."""

    @property
    def epochs(self) -> int:
        """Passes over the data."""

    @property
    def learning_rate(self) -> float:
        """Of the optimizer."""


def override(settings: SettingsT, options: dict[str, Any]) -> SettingsT:
    """``settings`` with those options that were given (are not ``None``)."""
    names = {field.name for field in dataclasses.fields(settings)}
    return dataclasses.replace(
        settings, **{name: value for name, value in options.items() if name in names and value is not None}
    )


def recorded_command(task: str, source: dict[str, Any], settings: DataclassInstance) -> str:
    """The command line that repeats a run: every setting spelled out, no path of this machine."""
    words = ["rnnserve-train", task]
    for name, value in {**source, **dataclasses.asdict(settings)}.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif value is not None:
            words += [f"--{option}", str(value)]
    return shlex.join(words)


def file_source(path: Path) -> Source:
    """What a manifest records of a file of the user's own.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return Source(name=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    except OSError as error:
        raise DataError(f"cannot read {path.name!r}: {error.strerror}") from error


def loop_config(settings: LoopSettings) -> LoopConfig:
    """The loop's part of a recipe's settings."""
    return LoopConfig(
        **{
            field.name: getattr(settings, field.name)
            for field in dataclasses.fields(LoopConfig)
            if hasattr(settings, field.name)
        }
    )


def use_threads(threads: int | None) -> None:
    """Let PyTorch use this many CPU threads; all of the machine's when ``None``."""
    torch.set_num_threads(threads or os.cpu_count() or 1)


def train(
    net: NetT,
    *,
    batches: Callable[[int], Iterable[BatchT]],
    batches_per_epoch: int,
    loss: Callable[[NetT, BatchT], Tensor],
    validate: Callable[[NetT], float],
    config: LoopConfig,
    checkpoint: Path | None,
    resume: bool,
    quiet: bool,
) -> FitReport:
    """:func:`training.loop.fit`, and a clear end when the user interrupts it.

    Raises:
        TrainingError: interrupted; the message says how to go on.
    """
    report = fit(
        net,
        batches=batches,
        batches_per_epoch=batches_per_epoch,
        loss=loss,
        validate=validate,
        config=config,
        checkpoint=checkpoint,
        resume=resume,
        quiet=quiet,
    )
    if report.interrupted:
        done = f"interrupted after {report.epochs_run} of {config.epochs} epochs"
        if checkpoint is None:
            raise TrainingError(f"{done}; with --checkpoint the run could be resumed")
        raise TrainingError(
            f"{done}; repeat the command with --resume to go on, and with "
            f"--epochs {max(1, report.epochs_run)} to export the best weights so far"
        )
    return report
