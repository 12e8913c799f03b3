"""The training loop: best weights, early stopping, and clear failures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from app.core.errors import TrainingError
from tests.training.plane import STEPS, distance, line, noisy_error, points, train, weights
from training.loop import fit, learning_rate_at
from training.loop_config import FitReport, LoopConfig


def test_training_lowers_the_validation_score() -> None:
    """The plane is found."""
    net = line()
    before = distance(net)
    report = train(net, LoopConfig(epochs=12, learning_rate=0.1, patience=12))
    assert report.best_score == pytest.approx(distance(net))
    assert report.best_score < 0.3 * before


def test_the_best_weights_are_kept_not_the_last() -> None:
    """When validation gets worse, the network goes back to where it was best."""
    net = line()
    seen: list[list[list[float]]] = []

    def worse_from_the_third(candidate: nn.Linear) -> float:
        seen.append(weights(candidate))
        return abs(len(seen) - 2.0)

    report = fit(
        net,
        batches=points,
        batches_per_epoch=STEPS,
        loss=noisy_error,
        validate=worse_from_the_third,
        config=LoopConfig(epochs=5, learning_rate=0.1),
        quiet=True,
    )
    assert report.best_epoch == 1
    assert weights(net) == seen[1]
    assert seen[1] != seen[-1]


def test_training_stops_when_patience_runs_out() -> None:
    """Three epochs without a better score end a run with patience three."""
    scores = iter([5.0, 4.0, 4.5, 4.2, 4.0, 1.0])
    report = fit(
        line(),
        batches=points,
        batches_per_epoch=STEPS,
        loss=noisy_error,
        validate=lambda _: next(scores),
        config=LoopConfig(epochs=6, learning_rate=0.1, patience=3),
        quiet=True,
    )
    assert (report.epochs_run, report.best_epoch, report.best_score) == (5, 1, 4.0)


def exploding(first: int, last: int = 10**9) -> Callable[[nn.Linear, tuple[Tensor, Tensor]], Tensor]:
    """A loss that is infinite from one call on, up to another."""
    calls = 0

    def explodes(net: nn.Linear, batch: tuple[Tensor, Tensor]) -> Tensor:
        nonlocal calls
        calls += 1
        return noisy_error(net, batch) * (math.inf if first <= calls <= last else 1.0)

    return explodes


def fit_exploding(first: int, last: int = 10**9) -> tuple[nn.Linear, FitReport]:
    """Three epochs with such a loss."""
    net = line()
    report = fit(
        net,
        batches=points,
        batches_per_epoch=STEPS,
        loss=exploding(first, last),
        validate=distance,
        config=LoopConfig(epochs=3, learning_rate=0.1),
        quiet=True,
        blame=lambda batch: f"{len(batch[0])} points",
    )
    return net, report


def test_a_loss_that_stays_infinite_ends_training_with_the_step_and_norm() -> None:
    """The user learns where it happened, what the batch was made of and what the gradients were before."""
    message = (
        r"the loss became inf at step 0 \(last gradient norm [0-9.e+-]+\); the batch was made of 8 points"
    )
    with pytest.raises(TrainingError, match=message):
        fit_exploding(1)


def test_a_batch_without_a_finite_loss_is_skipped_and_counted() -> None:
    """One spike costs one batch, and no weight becomes infinite."""
    net, report = fit_exploding(6, 6)
    assert [record.skipped for record in report.history] == [0, 1, 0]
    assert not report.trouble
    assert all(bool(torch.isfinite(parameter).all()) for parameter in net.parameters())


def test_the_best_weights_are_kept_whatever_ends_training() -> None:
    """Training that can no longer go on leaves what the best epoch had learned, and says why it ended."""
    net, report = fit_exploding(2 * STEPS + 1)
    assert report.epochs_run == 2
    assert f"the loss became inf at step {2 * STEPS}" in report.trouble
    assert distance(net) == pytest.approx(report.best_score)


def test_a_gradient_that_is_not_finite_ends_training() -> None:
    """A finite loss can still have an infinite slope."""

    def steep(net: nn.Linear, batch: tuple[Tensor, Tensor]) -> Tensor:
        return torch.sum((net(batch[0]) * 0.0).abs().sqrt())

    with pytest.raises(TrainingError, match="the gradient norm became nan at step 0"):
        fit(
            line(),
            batches=points,
            batches_per_epoch=STEPS,
            loss=steep,
            validate=distance,
            config=LoopConfig(epochs=1, learning_rate=0.1),
            quiet=True,
        )


def test_the_gradient_norm_is_reported_before_clipping() -> None:
    """A run that clips everything still shows how long the gradients were."""
    free = train(line(), LoopConfig(epochs=1, learning_rate=1e-6, clip_norm=1e6))
    clipped = train(line(), LoopConfig(epochs=1, learning_rate=1e-6, clip_norm=1e-3))
    assert clipped.history[0].gradient_norm == pytest.approx(free.history[0].gradient_norm, rel=1e-3)
    assert clipped.history[0].gradient_norm > 1e-3
    assert (free.history[0].clipped, clipped.history[0].clipped) == (0.0, 1.0)


def test_clipping_limits_the_step() -> None:
    """With plain gradients scaled down, the first moment the optimizer keeps is as short as the limit."""
    net = line()
    norms: list[float] = []

    def watched(candidate: nn.Linear) -> float:
        norms.append(
            math.sqrt(sum(float(p.grad.square().sum()) for p in candidate.parameters() if p.grad is not None))
        )
        return 0.0

    fit(
        net,
        batches=points,
        batches_per_epoch=STEPS,
        loss=noisy_error,
        validate=watched,
        config=LoopConfig(epochs=1, learning_rate=0.1, clip_norm=0.01),
        quiet=True,
    )
    assert norms[0] == pytest.approx(0.01, rel=1e-3)


def test_sgd_takes_steps_along_the_gradient() -> None:
    """Of one batch without dropout, by hand."""
    net = line()
    (x, y), *_ = points(0)
    found = torch.autograd.grad(nn.functional.mse_loss(net(x), y), [*net.parameters()])
    expected = [old.detach() - 0.2 * slope for old, slope in zip(net.parameters(), found, strict=True)]
    fit(
        net,
        batches=lambda epoch: [(x, y)],
        batches_per_epoch=1,
        loss=lambda net, batch: nn.functional.mse_loss(net(batch[0]), batch[1]),
        validate=distance,
        config=LoopConfig(epochs=1, learning_rate=0.2, clip_norm=1e6, optimizer="sgd"),
        quiet=True,
    )
    for weight, wanted in zip(net.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.detach(), wanted)


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("learning_rate", 0.0), ("clip_norm", -1.0), ("patience", 0), ("average_decay", 1.0)],
)
def test_a_configuration_that_cannot_train_is_refused(field: str, value: float) -> None:
    """The message names the setting."""
    with pytest.raises(TrainingError, match=f"{field} is .* it must be"):
        LoopConfig(**{"epochs": 1, "learning_rate": 0.1, field: value})  # type: ignore[arg-type]  # wrong ones among them


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    """Warm-up over four steps, then half a cosine."""
    config = LoopConfig(epochs=1, learning_rate=2.0, warmup_steps=4)
    rates = [learning_rate_at(step, 100, config) for step in range(101)]
    assert rates[0] == pytest.approx(0.5)
    assert rates[1] < rates[3]
    assert rates[50] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.0, abs=1e-9)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[4:]))


def test_no_data_is_an_error() -> None:
    """An epoch without batches is not a success."""
    with pytest.raises(TrainingError, match="no batches"):
        fit(
            line(),
            batches=lambda epoch: iter(()),
            batches_per_epoch=1,
            loss=noisy_error,
            validate=distance,
            config=LoopConfig(epochs=1, learning_rate=0.1),
            quiet=True,
        )
