"""The forecast recipe from CSV to bundle."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from app.bundle.manifest import Quality
from app.bundle.reader import read_bundle
from app.core.errors import DataError, TrainingError
from app.tasks.forecast.spec import ForecastSpec
from training.cells import Cell
from training.forecast.data import ForecastData
from training.forecast.kinds import HOURLY
from training.forecast.net import Forecaster, ForecasterConfig
from training.forecast.recipe import ForecastRecipe
from training.forecast.series import Series
from training.forecast.settings import ForecastSettings, SeriesOptions
from training.run import run


def forecast(**given: object) -> Path:
    """Run the recipe, and say nothing."""
    return run(ForecastRecipe, {"threads": 1, "quiet": True, **given})


def make_csv(folder: Path, num: int = 90) -> Path:
    """Daily sales with a weekly season."""
    start = np.datetime64("2024-01-01")
    random = np.random.default_rng(0)
    rows = [f"{start + k},{20 + 8 * (k % 7) + random.normal():.3f}" for k in range(num)]
    path = folder / "sales.csv"
    path.write_text("\n".join(["day,sold", *rows]))
    return path


def make_net(horizon: int = 6) -> Forecaster:
    """A small untrained network."""
    torch.manual_seed(0)
    return Forecaster(ForecasterConfig(hidden=6, local=6, horizon=horizon, num_frequencies=2)).eval()


def make_series(num: int = 120) -> Series:
    """Hourly noise around a daily season."""
    values = np.sin(np.arange(num) * 2 * np.pi / 24) + 0.1 * np.random.default_rng(1).normal(size=num) + 5
    return Series("a", "test", values, None, HOURLY, num - 40, num - 20)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_two_epochs_on_a_csv_give_a_bundle(tmp_path: Path, cell: Cell) -> None:
    """Every cell trains on a user's CSV, passes the parity check, and records figures and command."""
    folder = forecast(
        csv=make_csv(tmp_path),
        time="day",
        target=["sold"],
        horizon=7,
        quantiles="0.5,0.1,0.9",
        cell=cell,
        hidden=8,
        epochs=2,
        batches=4,
        name="sales",
        out=tmp_path / "models",
    )
    manifest = read_bundle(folder).manifest
    spec = manifest.spec_as(ForecastSpec)
    assert manifest.network.cell == cell
    assert (spec.horizon, spec.quantiles) == (7, (0.1, 0.5, 0.9))
    assert set(spec.frequencies) == {"D", "*"}
    assert spec.frequencies["D"].season == 7
    metrics = {quality.metric for quality in manifest.quality}
    assert {"MASE at 1-7 steps", "coverage of the 80 % interval"} <= metrics
    assert "--time day" in manifest.provenance.command
    assert "--target sold" in manifest.provenance.command
    assert str(tmp_path) not in manifest.provenance.command
    assert manifest.provenance.data[0].name == "sales.csv"


def test_a_finished_run_is_exported_again_without_training(tmp_path: Path) -> None:
    """Repeating the command with ``resume`` after the end gives the same graph."""
    graphs = []
    for resume in (False, True):
        folder = forecast(
            csv=make_csv(tmp_path),
            time="day",
            horizon=3,
            hidden=6,
            epochs=1,
            batches=2,
            name="again",
            version="2" if resume else "1",
            out=tmp_path / "models",
            checkpoint=tmp_path / "run.pt",
            resume=resume,
        )
        graphs.append((folder / "model.onnx").read_bytes())
    assert graphs[0] == graphs[1]


STEPS = np.arange(160)
NOISE = 20 + np.random.default_rng(0).normal(size=160)


def forecast_values(folder: Path, values: np.ndarray) -> dict[str, Quality]:
    """Train shortly on one column of daily values, and return the figures by their metric."""
    days = np.datetime64("2024-01-01") + STEPS
    cells = ["" if np.isnan(value) else repr(float(value)) for value in values]
    path = folder / "sales.csv"
    path.write_text(
        "\n".join(["day,sold", *(f"{day},{cell}" for day, cell in zip(days, cells, strict=True))])
    )
    small = {"hidden": 8, "local": 8, "epochs": 4, "batches": 8, "warmup_steps": 5, "learning_rate": 0.01}
    bundle = forecast(csv=path, time="day", horizon=7, out=folder, relative_weight=1.0, **small)
    return {figure.metric: figure for figure in read_bundle(bundle).manifest.quality}


@pytest.mark.parametrize(
    "values",
    [
        STEPS % 7,
        np.where(STEPS % 7 == 6, 0.0, 20.0),
        -1.0 * (STEPS % 7),
        1e29 * (STEPS % 7),
    ],
    ids=["sawtooth", "closed on Sundays", "below zero", "huge"],
)
def test_a_pattern_that_repeats_exactly_through_zero_is_learned(tmp_path: Path, values: np.ndarray) -> None:
    """It has no seasonal variation to measure errors in; the forecasts are its next values all the same."""
    figure = forecast_values(tmp_path, values)["MASE at 1-7 steps"]
    assert figure.value < 0.05 * figure.baselines["last value"]


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(160),
        np.where(STEPS > 100, 0.0, NOISE),
        np.where(STEPS >= 130, 0.0, 5.0 + STEPS % 7),
        np.where(STEPS == 60, 1e6, 0.0),
        np.where(STEPS < 110, 0.0, NOISE),
        np.full(160, 7.0),
        np.where(STEPS >= 140, np.nan, NOISE),
    ],
    ids=[
        "zeros",
        "ends in zeros",
        "test of zeros",
        "a spike",
        "begins with zeros",
        "constant",
        "test unknown",
    ],
)
def test_no_values_lose_the_bundle_after_training(tmp_path: Path, values: np.ndarray) -> None:
    """A figure that the test part leaves undefined is left out; the others are numbers."""
    figures = forecast_values(tmp_path, values)
    assert np.isfinite([figure.value for figure in figures.values()]).all()
    tested = values[-16:]
    assert ("weighted quantile loss" in figures) == bool(np.nansum(np.abs(tested)) > 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.where(STEPS > 90, np.nan, NOISE), r"steps 129 to 144 of 160, which choose the weights; cut"),
        (np.where(STEPS < 130, np.nan, NOISE), r"steps 1 to 128 of 160, which train the network; cut"),
        (np.where(STEPS == 3, 1.0, np.nan), r"steps 129 to 144 of 160, which choose the weights; cut"),
    ],
    ids=["no end", "no beginning", "one value"],
)
def test_a_part_without_values_is_named_before_training(
    tmp_path: Path, values: np.ndarray, message: str
) -> None:
    """With the file, the column, and what to do."""
    with pytest.raises(DataError, match=rf"^sales\.csv: series 'sold' has no values in {message}.*--target$"):
        forecast_values(tmp_path, values)


def test_values_whose_sums_overflow_are_refused(tmp_path: Path) -> None:
    """Before training, with the column."""
    with pytest.raises(DataError, match=r"cannot read 'sales\.csv': .*at most 1e\+30"):
        forecast_values(tmp_path, 1e37 * NOISE)


def test_a_column_without_an_end_does_not_keep_the_others_from_training(tmp_path: Path) -> None:
    """Those that have values validate."""
    path = tmp_path / "two.csv"
    rows = [f"{NOISE[step]},{NOISE[step] if step < 90 else ''}" for step in STEPS]
    path.write_text("\n".join(["a,b", *rows]))
    folder = forecast(csv=path, horizon=7, hidden=6, epochs=1, batches=2, out=tmp_path)
    assert read_bundle(folder).manifest.quality


def test_a_bundle_is_named_after_its_file() -> None:
    """A user's model does not take the built-in forecaster's name; odd characters become dashes."""
    data = ForecastData("t", (make_series(),), (1.0,), {}, 2, (), None)
    names = {"data/Sales (2024).csv": "sales-2024", "売上.csv": "forecaster", None: "forecaster"}
    for csv, name in names.items():
        options = SeriesOptions(csv=None if csv is None else Path(csv))
        assert ForecastRecipe(options, ForecastSettings(horizon=6), data).bundle_name() == name


def test_a_horizon_beyond_the_buffer_is_refused(tmp_path: Path) -> None:
    """The message names the limit."""
    with pytest.raises(TrainingError, match="1 to 112"):
        forecast(csv=make_csv(tmp_path, 500), time="day", horizon=113, out=tmp_path)


def test_a_missing_csv_is_a_data_error(tmp_path: Path) -> None:
    """A wrong path is reported, not a traceback."""
    with pytest.raises(DataError, match="cannot read"):
        forecast(csv=tmp_path / "none.csv", out=tmp_path)


@pytest.mark.parametrize("quantiles", ["0.1,0.9", "0.5,1.0", "a,0.5", ""])
def test_levels_must_contain_the_median_and_lie_inside(quantiles: str) -> None:
    """Levels that the network cannot have are refused with the rule."""
    with pytest.raises(TrainingError, match=r"0\.5 must be one of them"):
        _ = ForecastSettings(quantiles=quantiles).levels


def test_refitting_trains_on_validation_and_keeps_the_last_epoch() -> None:
    """With ``refit`` windows reach into the validation part, never the test part, and later is better."""
    item = make_series()
    data = ForecastData("t", (item,), (1.0,), {}, 2, (), None)
    reach = {}
    for refit in (False, True):
        settings = ForecastSettings(
            horizon=6,
            refit=refit,
            batches=20,
            batch_size=8,
            length=110,
            made=0.0,
            add_line=0.0,
            add_noise=0.0,
        )
        # Values tell their step.
        counted = dataclasses.replace(item, values=np.arange(120.0))
        recipe = ForecastRecipe(SeriesOptions(), settings, dataclasses.replace(data, series=(counted,)))
        reach[refit] = max(float(batch.targets.max()) for batch in recipe.batches(3))
    assert reach == {False: 79.0, True: 99.0}
    assert recipe.validate(make_net()) == -3.0
