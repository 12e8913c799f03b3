"""What a person watching a training run sees: one bar for the whole run, one line per epoch."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import TracebackType

from tqdm import tqdm


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One pass over the training data.

    Attributes:
        epoch: index, from 0.
        loss: mean training loss of its batches.
        gradient_norm: mean norm of the gradient before clipping.
        max_gradient_norm: the largest one.
        clipped: share of the steps whose gradient was clipped.
        score: validation score, lower is better.
        learning_rate: of the last step.
        seconds: training and validation together.
        skipped: batches left out because their loss or gradient was not finite.
    """

    epoch: int
    loss: float
    gradient_norm: float
    max_gradient_norm: float
    clipped: float
    score: float
    learning_rate: float
    seconds: float
    skipped: int = 0


class Progress:
    """A progress bar over all steps of a run, with time left.

    Args:
        num_epochs: epochs of the run.
        steps_per_epoch: batches of one epoch.
        epochs_done: epochs that an earlier run has finished.
        quiet: show nothing.
    """

    def __init__(self, num_epochs: int, steps_per_epoch: int, epochs_done: int, quiet: bool) -> None:
        self._num_epochs = num_epochs
        self._steps_per_epoch = steps_per_epoch
        self._quiet = quiet
        self._best = ""
        # A log file keeps every redraw, so it gets few.
        interval_s = 0.2 if sys.stderr.isatty() else 20.0
        self._bar = tqdm(
            total=num_epochs * steps_per_epoch,
            initial=epochs_done * steps_per_epoch,
            disable=quiet,
            unit="step",
            mininterval=interval_s,
            maxinterval=max(10.0, interval_s),
            dynamic_ncols=True,
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def step(self, epoch: int, loss: float, gradient_norm: float) -> None:
        """Advance by one batch."""
        self._bar.set_postfix_str(
            f"epoch {epoch + 1}/{self._num_epochs} loss {loss:.4f} "
            f"|gradient| {gradient_norm:.2f}{self._best}",
            refresh=False,
        )
        self._bar.update()

    def epoch(self, record: EpochRecord, best_score: float) -> None:
        """Report a finished epoch."""
        self._best = f" validation {record.score:.4f} (best {best_score:.4f})"
        # An epoch may have had another number of batches than was announced.
        self._bar.n = (record.epoch + 1) * self._steps_per_epoch
        if not self._quiet:
            mark = " *" if record.score <= best_score else ""
            skipped = f", {record.skipped} batches skipped" if record.skipped else ""
            self._bar.write(
                f"epoch {record.epoch + 1:>3}/{self._num_epochs}  loss {record.loss:.4f}  "
                f"validation {record.score:.4f}{mark}  |gradient| {record.gradient_norm:.2f} "
                f"(max {record.max_gradient_norm:.2f}, clipped {record.clipped:.0%}{skipped})  "
                f"{record.seconds:.1f} s",
                file=sys.stderr,
            )
