"""Backtests of networks and graphs: which origins, which truth, which naive forecasts beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.bundle.reader import read_bundle
from app.features.frequency import MAX_SEASON
from app.features.series import COLUMNS, UNKNOWN
from app.tasks.forecast.spec import ForecastSpec
from tests.training.forecast.test_recipe import make_net, make_series
from training.export import describe_run, export_bundle
from training.forecast.backtest import GraphForecaster, History, forecast_after, forecast_along
from training.forecast.figures import naive_forecasts, seasonal_scale
from training.forecast.kinds import HOURLY
from training.forecast.recipe import golden_steps
from training.forecast.series import Series
from training.forecast.user_report import user_report
from training.forecast.validation import Validation


def test_forecasts_along_a_series_are_those_after_each_history() -> None:
    """One causal pass gives what forecasting each history by itself gives."""
    net, item = make_net(), make_series()
    test = forecast_along(net, item, 100, 120, stride=5)
    assert test.origins.tolist() == [99, 104, 109, 114]
    for origin, quantiles in zip(test.origins, test.quantiles, strict=True):
        alone = forecast_after(net, [History(item.values[: origin + 1], None, item.kind)])[0]
        np.testing.assert_allclose(quantiles, alone, rtol=1e-5, atol=1e-5)


def test_the_truth_of_a_backtest_ends_with_its_part() -> None:
    """Steps beyond the part are unknown, the others are the values that followed."""
    item = make_series()
    test = forecast_along(make_net(), item, 100, 110)
    np.testing.assert_array_equal(test.truth[0], item.values[100:106])
    assert np.isnan(test.truth[-1, 1:]).all()
    assert test.truth[-1, 0] == item.values[109]


def test_histories_of_different_lengths_do_not_disturb_each_other() -> None:
    """A forecast in a padded batch is the forecast alone."""
    net, item = make_net(), make_series()
    histories = [History(item.values[:end], None, item.kind) for end in (80, 30, 119)]
    together = forecast_after(net, histories)
    for row, history in zip(together, histories, strict=True):
        np.testing.assert_allclose(row, forecast_after(net, [history])[0], rtol=1e-5, atol=1e-5)


def test_naive_forecasts_come_from_the_same_origins() -> None:
    """Seasonal naive repeats the value one season before each step; last value the origin's."""
    item = make_series()
    test = forecast_along(make_net(30), item, 100, 120, stride=7)
    naive = naive_forecasts(item, test, 30)
    for row, origin in enumerate(test.origins):
        assert (naive["last value"][row] == item.values[origin]).all()
        np.testing.assert_array_equal(
            naive["seasonal naive"][row, :24], item.values[origin - 23 : origin + 1]
        )
        np.testing.assert_array_equal(
            naive["seasonal naive"][row, 24:], item.values[origin - 23 : origin - 17]
        )


def test_validation_never_looks_at_the_test_part() -> None:
    """Changing every test value leaves the score as it is; changing a validation value does not."""
    net, item = make_net(), make_series()
    score = Validation([item], 6).score(net)
    values = item.values.copy()
    values[item.validation_end :] = 1e6
    assert Validation([_with(item, values)], 6).score(net) == score
    values[item.validation_end - 1] += 1.0
    assert Validation([_with(item, values)], 6).score(net) != score


def test_intervals_are_narrowed_where_enough_settled_series_say_so() -> None:
    """Until four in five values of the validation parts lie in those of 80 %; the median stays."""
    values = np.random.default_rng(0).normal(size=(120, 124))
    values[:, 100:] *= 0.6
    series = [
        Series(f"{row}", "t", each, None, UNKNOWN, 100, 124, trained=False) for row, each in enumerate(values)
    ]
    Validation(series, 6).calibrate(short := make_net(6))
    assert short.narrowing.all()
    net = make_net(24)
    net.narrowing.fill_(0.1)
    Validation(series[:29], 24).calibrate(net)
    assert (net.narrowing == 0.1).all(), "too few tell nothing"
    net.narrowing.zero_()
    histories = [History(item.values[:100], None, UNKNOWN) for item in series]
    before = forecast_after(net, histories)
    Validation(series, 24).calibrate(net)
    after = forecast_after(net, histories)
    low, middle, high = (net.quantile_levels.index(level) for level in (0.1, 0.5, 0.9))
    truth = np.array([item.values[100:] for item in series])
    held = [np.mean((truth >= each[..., low]) & (truth <= each[..., high])) for each in (before, after)]
    assert held[0] > 0.85
    assert held[1] == pytest.approx(0.8, abs=0.02)
    np.testing.assert_allclose(after[..., middle], before[..., middle], rtol=1e-5, atol=1e-5)
    widths = [each[..., high] - each[..., low] for each in (before, after)]
    np.testing.assert_allclose(widths[1], widths[0] * (1.0 - net.narrowing.numpy()), rtol=1e-4)
    young = [History(item.values[:40], None, UNKNOWN) for item in series[:3]]
    narrowed = forecast_after(net, young)
    net.narrowing.zero_()
    np.testing.assert_array_equal(forecast_after(net, young), narrowed)


def test_the_report_compares_with_naive_forecasts_on_the_test_part() -> None:
    """A perfectly seasonal series costs the seasonal naive forecast nothing, and the report says so."""
    values = np.tile(np.arange(24.0), 6)
    item = Series("a", "f.csv", values, None, HOURLY, 96, 120)
    report = {quality.metric: quality for quality in user_report(make_net(), [item])[0]}
    scaled = report["MASE at 1-6 steps"]
    assert scaled.baselines["seasonal naive"] == 0.0
    assert scaled.baselines["last value"] > 0
    assert scaled.split == "last part of each series"


def test_a_series_without_variation_has_scale_one() -> None:
    """A constant training part does not divide by zero."""
    assert seasonal_scale(Series("a", "t", np.ones(60), None, HOURLY, 50, 55)) == 1.0


def test_the_graph_of_a_bundle_forecasts_what_its_network_does(tmp_path: Path) -> None:
    """Backtests may run on the exported graph, in chunks and from any origins."""
    net, item = make_net(), make_series(1400)
    folder = export_bundle(
        net,
        out=tmp_path,
        name="graph",
        version="1",
        description="Untrained.",
        spec=ForecastSpec(
            horizon=6, quantiles=net.quantile_levels, columns=COLUMNS, window=MAX_SEASON, frequencies={}
        ),
        provenance=describe_run("none", 0),
        golden_steps=golden_steps([item]),
    )
    graph = GraphForecaster(read_bundle(folder))
    ours, theirs = (forecast_along(one, item, 1100, 1390, stride=9) for one in (net, graph))
    np.testing.assert_allclose(theirs.quantiles, ours.quantiles, rtol=1e-5, atol=1e-5)
    histories = [History(item.values[:end], None, item.kind) for end in (700, 30)]
    np.testing.assert_allclose(
        forecast_after(graph, histories), forecast_after(net, histories), rtol=1e-5, atol=1e-5
    )


def _with(item: Series, values: np.ndarray) -> Series:
    return Series(item.id, item.dataset, values, item.start, item.kind, item.train_end, item.validation_end)
