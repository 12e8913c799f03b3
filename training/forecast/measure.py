"""The figures of a forecaster's manifest: networks and series in, ``Quality`` entries out.

Every figure is measured on a test part, with naive forecasts from the same origins beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import Quality
from training.forecast.backtest import History, QuantileNet, forecast_after, forecast_along
from training.forecast.baselines import naive2, seasonal_naive
from training.forecast.benchmark import m3_quality
from training.forecast.figures import (
    coverage_quality,
    coverages,
    median_of,
    naive_forecasts,
    quality,
    seasonal_scale,
)
from training.forecast.metrics import m4_scores, mae, mse, rmse, rse
from training.forecast.series import M4_HORIZON, Files, Series, m4_test

Array = NDArray[np.float64]

# Published by the organisers (M4) and the papers; not measured here.
M4_REFERENCES = {
    "Hourly": {"sMAPE": 9.328, "MASE": 0.893, "OWA": 0.440},
    "Weekly": {"sMAPE": 7.817, "MASE": 2.356, "OWA": 0.851},
}
ETT_REFERENCES = {
    24: {"LSTMa (Zhou et al. 2021)": 0.114, "DeepAR (Zhou et al. 2021)": 0.107},
    48: {"LSTMa (Zhou et al. 2021)": 0.193, "DeepAR (Zhou et al. 2021)": 0.162},
}


def score_m4(
    net: QuantileNet, group: str, histories: Sequence[History], truths: Sequence[Array]
) -> dict[str, float]:
    """sMAPE, MASE and OWA of the median, and coverages, forecasting ``truths`` from ``histories``."""
    quantiles = forecast_after(net, histories)[:, : M4_HORIZON[group]]
    median = [row[:, median_of(net)] for row in quantiles]
    scores = m4_scores(truths, median, [history.values for history in histories], group)
    return {**scores, **coverages(np.stack(truths), quantiles, net.quantile_levels)}


def measure(net: QuantileNet, series: Sequence[Series], files: Files) -> list[Quality]:
    """Every figure of the built-in recipe, on the documented test parts."""
    report: list[Quality] = []
    for group in M4_HORIZON:
        items = [item for item in series if item.dataset == f"m4-{group.lower()}"]
        report += _m4_quality(net, group, items, m4_test(files, group))
    found = {(item.dataset, item.id): item for item in series}
    report += m3_quality(net, files)
    report += _etth1_quality(net, found["etth1", "OT"])
    passengers = found["classic", "airline-passengers"]
    report += [_one_step(net, passengers, {"LSTM (Brownlee tutorial)": 47.53}), _scaled(net, passengers, 12)]
    for key, horizon in (
        (("classic", "co2-concentration"), 12),
        (("classic", "monthly-sunspots"), 12),
        (("classic", "daily-min-temperatures"), 14),
        (("classic", "daily-total-female-births"), 14),
        (("seattle", "temp_max"), 14),
        (("beijing", "pm2.5"), 24),
        (("beijing", "temperature"), 24),
    ):
        report.append(_scaled(net, found[key], horizon))
    report += _exchange_quality(net, [item for item in series if item.dataset == "exchange-rate"])
    return report


def _m4_quality(net: QuantileNet, group: str, items: list[Series], truths: dict[str, Array]) -> list[Quality]:
    horizon, season = M4_HORIZON[group], 24 if group == "Hourly" else 1
    dataset, split = f"M4 {group}", "official test"
    truth, histories = [truths[item.id] for item in items], [item.values for item in items]
    known = [History(item.values, item.start, item.kind) for item in items]
    scores = score_m4(net, group, known, truth)
    makers: dict[str, Callable[[Array], Array]] = {
        "seasonal naive": lambda past: seasonal_naive(past, horizon, season),
        "naive2": lambda past: naive2(past, horizon, season),
    }
    naive = {
        name: m4_scores(truth, [make(past) for past in histories], histories, group)
        for name, make in makers.items()
    }
    report = [
        Quality(
            metric=metric,
            dataset=dataset,
            split=split,
            value=scores[metric],
            higher_is_better=False,
            baselines={name: values[metric] for name, values in naive.items()},
            references={"ES-RNN (Smyl 2020)": M4_REFERENCES[group][metric]},
        )
        for metric in ("sMAPE", "MASE", "OWA")
    ]
    return report + coverage_quality(scores, dataset, split)


def _etth1_quality(net: QuantileNet, item: Series) -> list[Quality]:
    past = item.values[: item.train_end]
    centre, spread = past.mean(), past.std()
    test = forecast_along(net, item, item.validation_end, len(item.values))
    naive = naive_forecasts(item, test, net.horizon)
    report = []
    for horizon in (24, 48):
        # Windows that end inside the test part, as the published figures have it.
        rows = slice(0, len(item.values) - item.validation_end - horizon + 1)

        def score(forecast: Array, rows: slice = rows, horizon: int = horizon) -> float:
            scaled = (forecast[rows, :horizon] - centre) / spread
            return mse((test.truth[rows, :horizon] - centre) / spread, scaled)

        baselines = {name: score(forecast) for name, forecast in naive.items()}
        value = score(test.quantiles[..., median_of(net)])
        report.append(
            quality(
                f"MSE at 1-{horizon} steps, standardised",
                "ETTh1 OT",
                "12/4/4 months",
                value,
                baselines,
                ETT_REFERENCES[horizon],
            )
        )
    return report + coverage_quality(
        coverages(test.truth, test.quantiles, net.quantile_levels), "ETTh1 OT", "12/4/4 months"
    )


def _one_step(net: QuantileNet, item: Series, references: dict[str, float]) -> Quality:
    test = forecast_along(net, item, item.validation_end, len(item.values))
    naive = naive_forecasts(item, test, net.horizon)
    truth = test.truth[:, 0]
    baselines = {name: rmse(truth, forecast[:, 0]) for name, forecast in naive.items()}
    value = rmse(truth, test.quantiles[:, 0, median_of(net)])
    return quality("RMSE one step ahead", item.id, "last 33 %", value, baselines, references)


def _scaled(net: QuantileNet, item: Series, horizon: int) -> Quality:
    test = forecast_along(net, item, item.validation_end, len(item.values))
    naive = naive_forecasts(item, test, net.horizon)
    scale = seasonal_scale(item)
    truth = test.truth[:, :horizon]
    baselines = {name: mae(truth, forecast[:, :horizon]) / scale for name, forecast in naive.items()}
    value = mae(truth, test.quantiles[:, :horizon, median_of(net)]) / scale
    share = round(100 * (1 - item.validation_end / len(item.values)))
    return quality(
        f"MASE at 1-{horizon} steps", f"{item.dataset} {item.id}", f"last {share} %", value, baselines
    )


def _exchange_quality(net: QuantileNet, items: list[Series]) -> list[Quality]:
    tests = [forecast_along(net, item, item.validation_end, len(item.values)) for item in items]
    report = []
    for horizon in (3, 6, 12, 24):
        truth = np.stack([test.truth[:, horizon - 1] for test in tests])
        last = np.stack([item.values[test.origins] for item, test in zip(items, tests, strict=True)])
        value = rse(truth, np.stack([test.quantiles[:, horizon - 1, median_of(net)] for test in tests]))
        baselines = {"last value": rse(truth, last)}
        report.append(quality(f"RSE {horizon} steps ahead", "exchange rate", "last 20 %", value, baselines))
    return report
