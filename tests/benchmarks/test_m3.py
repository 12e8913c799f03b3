"""M3 beside classical methods: errors by group, and figures that are those of the model card."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.bundle.reader import read_bundle
from benchmarks.forecast_work import BUNDLE
from benchmarks.m3 import ALL, DOCS, Scores, measure, naive, short, table, table_of_short
from benchmarks.sentences import ROOT
from training.forecast.shelf import PERIODS, Competitor

RECORDED = ROOT / "benchmarks/results/m3.json"


def competitors(num: int = 2) -> dict[str, list[Competitor]]:
    """Straight lines, of which the naive forecast is one step behind at once."""
    line = np.arange(60.0)
    return {
        period: [Competitor(str(row), period, line[:40], line[40 : 40 + horizon]) for row in range(num)]
        for period, (_, horizon, _) in PERIODS.items()
    }


def test_a_line_is_continued_and_the_naive_forecast_stays_behind() -> None:
    """By group, and over all series each counts once."""
    scores = measure(competitors())
    model, simple = scores["`forecaster@4`"], scores["seasonal naive"]
    assert all(value < 0.1 for value in model.means.values())
    # The mean of 1, 2, ... 6 steps, each as large as the differences of the past.
    assert simple.means["yearly"] == pytest.approx(3.5)
    assert simple.means[ALL] == pytest.approx(np.mean([simple.means[period] for period in PERIODS]))
    assert simple.coverage is None
    assert model.coverage is not None
    assert model.milliseconds > 0


def test_the_naive_forecast_of_a_month_is_that_of_the_year_before() -> None:
    point, _ = naive(competitors(1)["monthly"][0])
    assert point.tolist() == [*range(28, 40), *range(28, 34)]


def test_the_table_has_a_row_for_each_method() -> None:
    scores = {"a": Scores({"yearly": [1.0], "other": [2.0]} | {"quarterly": [3.0], "monthly": [2.0]}, [10.0])}
    assert table(scores).splitlines()[2] == "| a | 1.000 | 3.000 | 2.000 | 2.000 | 2.000 | 10.00 |  | 0 |"


def test_the_loss_after_few_values_is_that_of_what_they_say() -> None:
    """A line goes on; the naive forecast knows no quantiles, so that its loss is its absolute error."""
    losses = short(competitors(1))
    assert list(losses["seasonal naive"]) == [6, 10, 16]
    assert losses["`forecaster@4`"][16] < 0.2
    # Where no season is known the last value is repeated, else the last season.
    assert losses["seasonal naive"][6] > losses["`forecaster@4`"][6]
    assert "| seasonal naive |" in table_of_short(losses)


def test_what_is_recorded_is_on_the_card_and_in_the_docs() -> None:
    """The same series and the same graph give the card's figures."""
    figures = {one["name"]: one["value"] for one in json.loads(RECORDED.read_text())["figures"]}
    card = {
        quality.dataset.removeprefix("M3 "): quality.value
        for quality in read_bundle(BUNDLE).manifest.quality
        if quality.dataset.startswith("M3 ") and quality.metric == "MASE"
    }
    for group in (*PERIODS, ALL):
        assert figures[f"forecaster@4, MASE {group}"] == pytest.approx(card[group], rel=1e-3)
    for quality in read_bundle(BUNDLE).manifest.quality:
        if quality.metric.startswith("scaled pinball loss"):
            length = quality.metric.split()[4]
            assert figures[f"forecaster@4, pinball loss after {length}"] == pytest.approx(
                quality.value, rel=1e-3
            )
    row = next(line for line in DOCS.read_text().splitlines() if line.startswith("| AutoTheta | "))
    assert f"{figures[f'AutoTheta, MASE {ALL}']:.3f}" in row
