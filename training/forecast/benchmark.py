"""The M3 competition as a benchmark: series that nothing was trained on, forecast without their calendar.

sMAPE and MASE are those of the competition: the mean over series of each series' own. The best of the
22 methods that took part, by MASE over all series, stands beside them (Makridakis & Hibon 2000).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import Quality
from training.forecast.backtest import History, QuantileNet, forecast_after
from training.forecast.baselines import naive2, seasonal_naive
from training.forecast.metrics import coverage, mase, pinball, smape
from training.forecast.series import Files
from training.forecast.shelf import M3, PERIODS, Competitor, competition

Array = NDArray[np.float64]

_THETA = {
    "yearly": (16.974, 2.806),
    "quarterly": (8.956, 1.087),
    "monthly": (13.892, 0.858),
    "other": (4.410, 1.904),
    "all": (12.762, 1.395),
}
SHORT = (6, 10, 16)


def m3_quality(net: QuantileNet, files: Files) -> list[Quality]:
    """Errors and coverages of each group and of all, and the loss after a few observations."""
    rows = competition(files, M3)
    scored: dict[str, list[tuple[Competitor, Array]]] = {}
    for period, (kind, horizon, _) in PERIODS.items():
        group = [row for row in rows if row.period == period]
        quantiles = forecast_after(net, [History(row.given, None, kind) for row in group])
        scored[period] = [(row, each[:horizon]) for row, each in zip(group, quantiles, strict=True)]
    scored["all"] = [pair for group in scored.values() for pair in group]
    report: list[Quality] = []
    for name, pairs in scored.items():
        report += _group(net.quantile_levels, name, pairs)
    return [*report, *(_short(net, rows, length) for length in SHORT)]


def _group(levels: Sequence[float], name: str, pairs: Sequence[tuple[Competitor, Array]]) -> list[Quality]:
    median = levels.index(0.5)
    errors: dict[str, list[tuple[float, float]]] = {"model": [], "seasonal naive": [], "naive2": []}
    for row, quantiles in pairs:
        _, horizon, season = PERIODS[row.period]
        forecasts = {
            "model": quantiles[:, median],
            "seasonal naive": seasonal_naive(row.given, horizon, season),
            "naive2": naive2(row.given, horizon, season),
        }
        for method, forecast in forecasts.items():
            scaled = mase(row.asked, forecast, row.given, season)
            errors[method].append((smape(row.asked, forecast), scaled))
    means = {method: np.mean(values, axis=0) for method, values in errors.items()}
    dataset, split = f"M3 {name}", "official test"
    report = []
    for place, metric in enumerate(("sMAPE", "MASE")):
        report.append(
            Quality(
                metric=metric,
                dataset=dataset,
                split=split,
                value=float(means["model"][place]),
                higher_is_better=False,
                baselines={name: float(value[place]) for name, value in means.items() if name != "model"},
                references={"Theta (best of 22)": _THETA[name][place]},
            )
        )
    for percent in (80, 95):
        inside = [coverage(row.asked, quantiles, levels, percent) for row, quantiles in pairs]
        weights = [len(row.asked) for row, _ in pairs]
        report.append(
            Quality(
                metric=f"coverage of the {percent} % interval",
                dataset=dataset,
                split=split,
                value=float(np.average(inside, weights=weights)),
                higher_is_better=True,
                references={"nominal": percent / 100.0},
            )
        )
    return report


def _short(net: QuantileNet, rows: Sequence[Competitor], length: int) -> Quality:
    """Loss after the last ``length`` given values alone, in units of the whole series' differences."""
    levels = net.quantile_levels
    ours, naive = [], []
    for period, (kind, horizon, season) in PERIODS.items():
        group = [row for row in rows if row.period == period]
        histories = [History(row.given[-length:], None, kind) for row in group]
        for row, quantiles in zip(group, forecast_after(net, histories), strict=True):
            scale = float(np.mean(np.abs(row.given[season:] - row.given[:-season])))
            ours.append(2.0 * pinball(row.asked, quantiles[:horizon], levels) / scale)
            simple = seasonal_naive(row.given[-length:], horizon, season)
            naive.append(float(np.mean(np.abs(row.asked - simple))) / scale)
    return Quality(
        metric=f"scaled pinball loss after {length} observations",
        dataset="M3 all",
        split="official test",
        value=float(np.mean(ours)),
        higher_is_better=False,
        baselines={"seasonal naive": float(np.mean(naive))},
    )
