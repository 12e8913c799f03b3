"""The training loss: what counts in it, and that descending it learns a season."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.forecast.test_net import make_net
from training.forecast.kinds import HOURLY
from training.forecast.loss import window_loss
from training.forecast.net import Forecaster, ForecasterConfig
from training.forecast.series import Series
from training.forecast.windows import WindowBatch, WindowConfig, WindowSampler

CONFIG = WindowConfig(batch_size=8, length=60, prefix=48, origins=6, horizon=7, drop_values=0.3)


def make_batch(seed: int = 0, slope: float = 0.0, **changes: Any) -> WindowBatch:
    """Windows of noise around a daily pattern that is no sine, on a line."""
    random = np.random.default_rng(seed)
    pattern = random.normal(size=24) * 3
    values = 30 + np.tile(pattern, 12) + random.normal(size=288) * 0.2 + slope * np.arange(288)
    item = Series("a", "t", values, None, HOURLY, 288, 288, relative=True)
    return replace(WindowSampler([item], [1], CONFIG).batch(random), **changes)


def loss_of(net: Forecaster, batch: WindowBatch, relative_weight: float = 0.0) -> float:
    """The loss as a number."""
    return float(window_loss(net, batch, relative_weight).detach())


def test_unknown_targets_do_not_count() -> None:
    """What stands where no target is known changes neither loss nor gradient."""
    net, batch = make_net(), make_batch(1)
    assert not bool(batch.known.all())
    noise = torch.where(batch.known > 0, batch.targets, torch.tensor(1e6))
    assert loss_of(net, replace(batch, targets=noise), 2.0) == loss_of(net, batch, 2.0)


def test_the_relative_part_counts_only_where_it_is_asked_for() -> None:
    """Windows without the flag, and a weight of zero, leave the pinball loss alone."""
    net, batch = make_net(), make_batch()
    plain = loss_of(net, batch)
    off = replace(batch, relative=torch.zeros_like(batch.relative))
    assert loss_of(net, off, 2.0) == pytest.approx(plain)
    assert loss_of(net, batch, 2.0) > plain


def test_the_loss_is_in_units_of_the_series() -> None:
    """Scaling the whole window by a power of two changes nothing."""
    net, batch = make_net(), make_batch()
    x, prefix = batch.x.clone(), batch.prefix.clone()
    x[..., 0] *= 8
    prefix[..., 0] *= 8
    scaled = replace(batch, x=x, prefix=prefix, targets=batch.targets * 8)
    assert loss_of(net, scaled, 1.0) == pytest.approx(loss_of(net, batch, 1.0), rel=1e-5)


def test_one_absurd_target_does_not_drown_the_others() -> None:
    """A jump beyond all scales counts as a bounded surprise."""
    net, batch = make_net(), make_batch()
    targets = batch.targets.clone()
    targets[0, 0, 0] = 1e12
    broken = replace(batch, targets=targets)
    assert loss_of(net, broken) < loss_of(net, batch) + 5.0


def test_a_constant_window_has_no_loss() -> None:
    """Without variation there is no unit to measure in, so nothing counts and nothing is NaN."""
    batch = make_batch()
    x = batch.x.clone()
    x[..., 0] = 7.0
    still = replace(
        batch, x=x, prefix=torch.zeros_like(batch.prefix) + x[:, :1] * 0, targets=batch.targets * 0 + 9
    )
    still.prefix[..., 3:5] = 24
    assert loss_of(make_net(), still, 1.0) == 0.0


def test_every_weight_is_trained() -> None:
    """Each parameter gets a gradient from one batch, the start row included."""
    net = make_net()
    window_loss(net, make_batch(), 1.0).backward()  # type: ignore[no-untyped-call]  # torch left it untyped
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name


def test_training_beats_the_untrained_network() -> None:
    """A few steps down the loss lower it well below where it began, on windows not trained on."""
    torch.manual_seed(0)
    net = Forecaster(ForecasterConfig(hidden=16, local=16, horizon=7, num_frequencies=3))
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], 0.01)
    held_out = make_batch(99, slope=0.3)
    before = loss_of(net, held_out)
    for seed in range(40):
        optimizer.zero_grad()
        window_loss(net, make_batch(seed, slope=0.3)).backward()  # type: ignore[no-untyped-call]  # likewise
        optimizer.step()
    assert loss_of(net, held_out) < 0.6 * before
