"""A run that was interrupted goes on as if it had not been, and with nothing but its own checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from torch import Tensor, nn

from app.core.errors import TrainingError
from tests.training.plane import STEPS, distance, line, noisy_error, points, train, weights
from training.checkpoint import load_checkpoint, save_checkpoint
from training.loop import fit, seed_everything
from training.loop_config import LoopConfig


@pytest.mark.parametrize(("optimizer", "average_decay"), [("adamw", 0.0), ("adamw", 0.9), ("sgd", 0.9)])
def test_resuming_after_an_interrupt_equals_never_having_stopped(
    tmp_path: Path, optimizer: Literal["adamw", "sgd"], average_decay: float
) -> None:
    """Ctrl-C in the middle of the third epoch, then a resumption, give the weights of one run."""
    config = LoopConfig(
        epochs=6,
        learning_rate=0.05,
        warmup_steps=3,
        average_decay=average_decay,
        patience=9,
        optimizer=optimizer,
    )
    whole = line()
    expected = train(whole, config)

    calls = 0

    def interrupted(net: nn.Linear, batch: tuple[Tensor, Tensor]) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 2 * STEPS + 3:
            raise KeyboardInterrupt
        return noisy_error(net, batch)

    net = line()
    checkpoint = tmp_path / "run.pt"
    first = fit(
        net,
        batches=points,
        batches_per_epoch=STEPS,
        loss=interrupted,
        validate=distance,
        config=config,
        checkpoint=checkpoint,
        quiet=True,
    )
    assert first.interrupted
    assert first.epochs_run == 2

    seed_everything(99)
    again = line()
    second = train(again, config, checkpoint, resume=True)
    assert weights(again) == weights(whole)
    assert [record.score for record in second.history] == [record.score for record in expected.history]
    assert [record.loss for record in second.history] == [record.loss for record in expected.history]


def test_resuming_a_finished_run_only_loads_its_best_weights(tmp_path: Path) -> None:
    """No further training happens, so evaluation and export can be repeated."""
    config = LoopConfig(epochs=3, learning_rate=0.1)
    net = line()
    report = train(net, config, tmp_path / "run.pt")
    again = line()
    repeated = train(again, config, tmp_path / "run.pt", resume=True)
    assert weights(again) == weights(net)
    assert repeated == report


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    """The message names the setting that differs."""
    train(line(), LoopConfig(epochs=1, learning_rate=0.1), tmp_path / "run.pt")
    with pytest.raises(TrainingError, match=r"learning_rate=0\.1, this run has learning_rate=0\.2"):
        train(line(), LoopConfig(epochs=1, learning_rate=0.2), tmp_path / "run.pt", resume=True)


def test_a_checkpoint_of_before_a_setting_was_there_goes_on(tmp_path: Path) -> None:
    """It was at its default then; another value is another run."""
    path = tmp_path / "run.pt"
    config = LoopConfig(epochs=2, learning_rate=0.1)
    report = train(line(), config, path)
    content = load_checkpoint(path)
    del content["config"]["optimizer"]
    save_checkpoint(path, content)
    assert train(line(), config, path, resume=True) == report
    with pytest.raises(TrainingError, match="optimizer=adamw, this run has optimizer=sgd"):
        train(line(), replace(config, optimizer="sgd"), path, resume=True)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    """Weights of another shape do not load silently."""
    train(line(), LoopConfig(epochs=1, learning_rate=0.1), tmp_path / "run.pt")
    with pytest.raises(TrainingError, match="another network"):
        train(nn.Linear(3, 1), LoopConfig(epochs=1, learning_rate=0.1), tmp_path / "run.pt", resume=True)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no checkpoint"), (b"not a checkpoint", "cannot be read")]
)
def test_a_missing_or_broken_checkpoint_is_an_error(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    """Resuming from nothing, or from noise, says so."""
    path = tmp_path / "run.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainingError, match=message):
        train(line(), LoopConfig(epochs=1, learning_rate=0.1), path, resume=True)
