"""What a forecaster is trained to minimise: windows in, one number out."""

from __future__ import annotations

import torch
from torch import Tensor

from training.forecast.memory import ABSOLUTE_FLOOR
from training.forecast.net import Forecaster
from training.forecast.windows import WindowBatch

# A target this many scales away from the anchor is a jump nobody can learn from, and more for each step.
MAX_SURPRISE, MAX_SURPRISE_A_STEP = 30.0, 6.0
# Later horizons count less, as fewer people ask for them: the power of the horizon to divide by.
_FADING = 0.4


def window_loss(net: Forecaster, batch: WindowBatch, relative_weight: float = 0.0) -> Tensor:
    """Pinball loss over all levels, horizons and origins, in units of each series' scale.

    Args:
        net: the network.
        batch: windows; the recurrent layers start fresh after ``batch.prefix``. Of each either the series
            or its mirror image is read, as ``batch.sign`` says.
        relative_weight: how much the symmetric relative error of the median counts besides, in the
            windows that ask for it.

    Returns:
        A scalar; the pinball part is twice the quantile loss, so at the median an absolute error.
    """
    batch = batch.to(net.place.device)
    size = len(batch.x)
    start = net.recurrent.start.expand(size, -1)
    _, memory = net.observe(batch.prefix, net.start_memory(size))
    view, _ = net.observe(batch.x, memory)
    sign = batch.sign[:, None, None]
    hidden, _ = net.recurrent(net.features(view, sign), start)
    said = net.predict(hidden, view, batch.origins, sign)
    anchor, scale, unit = (each.squeeze(3) for each in (said.anchor, said.scale, said.unit))
    offsets = torch.where(sign[..., None] > 0, said.parts @ net.mixing, said.parts @ net.mirrored)
    # Where nothing has varied yet there is no unit to measure an error in.
    ahead = torch.arange(1.0, net.horizon + 1, device=anchor.device)
    counted = batch.known * (unit > 0).float() / ahead**_FADING
    reach = MAX_SURPRISE + MAX_SURPRISE_A_STEP * ahead
    target = ((batch.targets - anchor) / scale).clamp(-reach, reach)
    total = counted.sum().clamp_min(1.0)
    levels = net.levels
    error = target.unsqueeze(3) - offsets
    loss = torch.maximum(levels * error, (levels - 1.0) * error).mean(3).mul(2.0 * counted).sum() / total
    if not relative_weight:
        return loss
    truth = anchor + scale * target
    median = anchor + scale * offsets[..., net.median]
    size_of = (truth.abs() + median.abs()).clamp_min(ABSOLUTE_FLOOR)
    relative = 2.0 * (truth - median).abs() / size_of
    return loss + relative_weight * (relative * counted * batch.relative[:, None, None]).sum() / total
