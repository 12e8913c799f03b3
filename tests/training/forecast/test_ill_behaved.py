"""Files that have broken trainings: each trains with the usual settings, is served, and asked.

Only the steps of training are fewer than a user's, so that this takes seconds. What whole trainings came to
stands in docs/your-data.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.bundle.manifest import Manifest
from app.bundle.reader import read_bundle
from app.core.errors import TrainingError
from app.main import create_app
from app.settings import Settings
from app.tasks.forecast.spec import ForecastSpec
from tests.training.forecast.ill_behaved import ill_behaved, large, sales, write
from training.forecast.recipe import ForecastRecipe
from training.run import run

FILES = ill_behaved(240) | large(rows=6_000, columns=100)
SMALL = {"epochs": 1, "batches": 2, "batch_size": 8, "hidden": 8, "local": 8, "warmup_steps": 1}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files and a bundle of each."""
    folder = tmp_path_factory.mktemp("ill")
    for name, columns in FILES.items():
        path = write(folder / f"{name}.csv", columns)
        run(ForecastRecipe, {"csv": path, "out": folder, "threads": 1, "quiet": True, **SMALL})
    return folder


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[TestClient]:
    settings = Settings(models=models, sessions="memory:", default="forecast=outlier@1")
    with TestClient(create_app(settings)) as client:
        yield client


def manifest_of(models: Path, name: str) -> Manifest:
    return read_bundle(models / name / "1").manifest


@pytest.mark.parametrize("name", FILES)
def test_each_trains_is_served_and_asked(models: Path, client: TestClient, name: str) -> None:
    manifest = manifest_of(models, name)
    assert all(math.isfinite(figure.value) for figure in manifest.quality)
    assert "Theta" in manifest.quality[0].baselines
    horizon = manifest.spec_as(ForecastSpec).horizon
    answer = client.post(
        f"/forecast?levels=80&horizon={horizon}&model={name}",
        content=(models / f"{name}.csv").read_bytes(),
        headers={"content-type": "text/csv"},
    )
    assert answer.status_code == 200, answer.text
    forecasts = answer.json()["forecasts"]
    assert [forecast["id"] for forecast in forecasts] == list(FILES[name])
    for forecast, values in zip(forecasts, FILES[name].values(), strict=True):
        low, high = np.array(forecast["quantiles"]["0.1"]), np.array(forecast["quantiles"]["0.9"])
        # No network makes much of a few steps of training; but it knows how large the values are.
        recent = values[-40:] if values[-40:].any() else values
        reach = 20 * (np.nanmax(recent) - np.nanmin(recent)) + 1e-6
        assert (low <= high).all()
        assert (low >= np.nanmin(recent) - reach).all()
        assert (high <= np.nanmax(recent) + reach).all()


def test_one_wild_value_does_not_make_all_errors_small(models: Path) -> None:
    """Errors are measured in usual seasonal differences, with and without it."""
    figures = {name: manifest_of(models, name).quality[0] for name in ("outlier", "closed-on-holidays")}
    naive = {name: figure.baselines["seasonal naive"] for name, figure in figures.items()}
    assert naive["outlier"] > 0.3 * naive["closed-on-holidays"]


def test_36_months_train_with_the_usual_horizon(tmp_path: Path) -> None:
    """Two thirds of them train: six months ahead."""
    months = [
        f"{2021 + month // 12}-{month % 12 + 1:02d}-01,{value}" for month, value in enumerate(sales(36))
    ]
    path = tmp_path / "monthly.csv"
    path.write_text("\n".join(["month,sold", *months]))
    folder = run(ForecastRecipe, {"csv": path, "out": tmp_path, "threads": 1, "quiet": True, **SMALL})
    assert read_bundle(folder).manifest.spec_as(ForecastSpec).horizon == 6


def test_whatever_ends_a_training_the_series_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a learning rate that no network survives: with the best weights written, or in the error."""
    path = write(tmp_path / "two.csv", {"one": sales(90), "other": sales(90, 1)})
    wild = SMALL | {"learning_rate": 1e12, "clip_norm": 1e30, "epochs": 3, "batches": 30}
    try:
        folder = run(ForecastRecipe, {"csv": path, "out": tmp_path, "threads": 1, "quiet": True, **wild})
    except TrainingError as error:
        said = error.message
    else:
        assert np.isfinite([figure.value for figure in read_bundle(folder).manifest.quality]).all()
        said = capsys.readouterr().err
    assert "series 'o" in said
    assert "usually cures this" in said
