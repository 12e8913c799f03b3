"""Figures of a user's series on their test parts, beside those of simple methods, together and one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import Quality
from training.forecast.backtest import QuantileNet, forecast_along
from training.forecast.baselines import moving_average, theta
from training.forecast.figures import (
    coverage_quality,
    coverages,
    median_of,
    naive_forecasts,
    quality,
    seasonal_scale,
)
from training.forecast.metrics import mae, weighted_quantile_loss
from training.forecast.series import Series

Array = NDArray[np.float64]
MAX_SERIES = 100
# Rows of the card's table.
_MOST_ROWS = 20
_MODEL = "this model"


def user_report(net: QuantileNet, series: Sequence[Series]) -> tuple[list[Quality], str]:
    """Figures of all origins and horizons together, and a table of the series as Markdown."""
    chosen = series[:: -(-len(series) // MAX_SERIES)]
    horizon, levels = net.horizon, net.quantile_levels
    rows: dict[str, dict[str, float]] = {}
    truths: list[Array] = []
    quantiles: list[Array] = []
    for item in chosen:
        test = forecast_along(net, item, item.validation_end, len(item.values))
        if not np.isfinite(test.truth).any():
            continue
        scale, season = seasonal_scale(item), item.kind.season
        forecasts = {
            _MODEL: test.quantiles[..., median_of(net)],
            **naive_forecasts(item, test, horizon),
            "moving average": moving_average(item.values, test.origins, horizon, season),
            "Theta": theta(item.values, item.validation_end, test.origins, horizon, season),
        }
        rows[item.id] = {name: mae(test.truth, forecast) / scale for name, forecast in forecasts.items()}
        truths.append(test.truth / scale)
        quantiles.append(test.quantiles / scale)
    if not truths:
        return [], ""
    dataset, split = chosen[0].dataset, "last part of each series"
    means = {name: float(np.mean([row[name] for row in rows.values()])) for name in next(iter(rows.values()))}
    truth, quantile = np.concatenate(truths), np.concatenate(quantiles)
    report = [quality(f"MASE at 1-{horizon} steps", dataset, split, means.pop(_MODEL), means)]
    # Relative to nothing but zeros, no error has a size.
    if np.nanmax(np.abs(truth)) > 0:
        loss = weighted_quantile_loss(truth, quantile, levels)
        report.append(quality("weighted quantile loss", dataset, split, loss, {}))
    report += coverage_quality(coverages(truth, quantile, levels), dataset, split)
    return report, _table(rows)


def _table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """A row for each series; the least error of each is bold."""
    names = list(next(iter(rows.values())))
    others = [name for name in names if name != _MODEL]
    ahead = sum(row[_MODEL] < min(row[name] for name in others) for row in rows.values())
    lines = [
        "## Series by series",
        "",
        f"Mean absolute scaled errors of the test part. On {ahead} of {len(rows)} series this model is ahead "
        "of all simple methods.",
        "",
        f"| series | {' | '.join(names)} |",
        f"|---|{'---:|' * len(names)}",
    ]
    for series, row in list(rows.items())[:_MOST_ROWS]:
        least = min(row.values())
        cells = [f"**{row[name]:.4g}**" if row[name] == least else f"{row[name]:.4g}" for name in names]
        lines.append(f"| {series.replace('|', '/')} | {' | '.join(cells)} |")
    if len(rows) > _MOST_ROWS:
        lines.append(f"| and {len(rows) - _MOST_ROWS} more | {' | '.join([''] * len(names))} |")
    return "\n".join(lines)
