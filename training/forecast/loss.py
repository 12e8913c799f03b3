"""What a forecaster is trained to minimise: windows in, one number out."""

from __future__ import annotations

import torch
from torch import Tensor

from training.forecast.net import RELATIVE_FLOOR, Forecaster
from training.forecast.windows import WindowBatch

# A target this many units away from the seasonal naive forecast is a jump nobody can learn from.
MAX_SURPRISE = 20.0


def window_loss(net: Forecaster, batch: WindowBatch, relative_weight: float = 0.0) -> Tensor:
    """Pinball loss over all levels, horizons and origins, in units of each series' scale.

    Args:
        net: the network.
        batch: windows; the recurrent layers start fresh after ``batch.prefix``.
        relative_weight: how much the symmetric relative error of the median counts besides, in the
            windows that ask for it. It keeps the small values of a series, which its scale does not
            see, worth forecasting.

    Returns:
        A scalar; the pinball part is twice the quantile loss, so at the median an absolute error.
    """
    batch = batch.to(net.place.device)
    start = net.start_row().expand(batch.x.shape[0], -1)
    with torch.no_grad():
        _, carried = net.observe(batch.prefix, start)
    row = torch.cat([start[:, : net.recurrent.size], carried], 1)
    hidden, view, _ = net.read(batch.x, row)
    forecast = net.predict(hidden, view, batch.origins)
    last, scale, seasonal = forecast.last.squeeze(3), forecast.scale.squeeze(3), forecast.seasonal.squeeze(3)
    single = forecast.single.squeeze(3)
    # What has repeated exactly so far is measured in its one-step differences. Where nothing has varied yet
    # there is no unit to measure an error in.
    noise = 2.0 * RELATIVE_FLOOR * last.abs()
    unit = torch.where(scale > noise.maximum(2.0 * RELATIVE_FLOOR * single), scale, single)
    counted = batch.known * (unit > noise).float()
    units = unit / scale
    surprise = (batch.targets - last) / scale - seasonal
    target = surprise.clamp(-MAX_SURPRISE * units, MAX_SURPRISE * units) + seasonal
    total = counted.sum().clamp_min(1.0)
    levels = net.levels
    error = (target.unsqueeze(3) - forecast.offsets) / units.unsqueeze(3)
    loss = torch.maximum(levels * error, (levels - 1.0) * error).mean(3).mul(2.0 * counted).sum() / total
    if not relative_weight:
        return loss
    truth = last + scale * target
    median = last + scale * forecast.offsets[..., net.median]
    size = (truth.abs() + median.abs()).maximum(RELATIVE_FLOOR * scale)
    relative = 2.0 * (truth - median).abs() / size
    return loss + relative_weight * (relative * counted * batch.relative[:, None, None]).sum() / total
