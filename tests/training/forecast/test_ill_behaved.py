"""Files that have broken trainings: each trains with the usual settings, is served, and asked.

Only the number of steps is less than a user's, so that this takes seconds. What whole trainings came to stands
in docs/your-data.md.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.bundle.reader import read_bundle
from app.core.errors import TrainingError
from app.main import create_app
from app.settings import Settings
from app.tasks.forecast.spec import ForecastSpec
from tests.training.forecast.ill_behaved import ill_behaved, large, sales, write
from training.forecast.recipe import ForecastRecipe
from training.run import run

FILES = ill_behaved(366) | large(rows=20_000, columns=300)


@pytest.mark.parametrize("name", FILES)
def test_each_trains_is_served_and_asked(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"{name}.csv", FILES[name])
    small = {"epochs": 1, "batches": 3, "hidden": 8, "local": 8, "warmup_steps": 1, "learning_rate": 0.02}
    folder = run(ForecastRecipe, {"csv": path, "out": tmp_path / "m", "threads": 1, "quiet": True, **small})
    manifest = read_bundle(folder).manifest
    assert all(math.isfinite(figure.value) for figure in manifest.quality)
    assert "Theta" in manifest.quality[0].baselines
    horizon = manifest.spec_as(ForecastSpec).horizon
    settings = Settings(models=tmp_path / "m", sessions="memory:", default=f"forecast={manifest.name}@1")
    with TestClient(create_app(settings)) as client:
        answer = client.post(
            f"/forecast?levels=80&horizon={horizon}",
            content=path.read_bytes(),
            headers={"content-type": "text/csv"},
        )
        assert answer.status_code == 200, answer.text
    forecasts = answer.json()["forecasts"]
    assert [forecast["id"] for forecast in forecasts] == list(FILES[name])
    for forecast, values in zip(forecasts, FILES[name].values(), strict=True):
        low, high = np.array(forecast["quantiles"]["0.1"]), np.array(forecast["quantiles"]["0.9"])
        # No network makes much of a few steps of training; but it knows how large the values are.
        recent = values[-40:]
        reach = 20 * (np.nanmax(recent) - np.nanmin(recent)) + 1e-6
        assert (low <= high).all()
        assert (low >= np.nanmin(recent) - reach).all()
        assert (high <= np.nanmax(recent) + reach).all()


def test_36_months_train_with_the_usual_horizon(tmp_path: Path) -> None:
    """Two thirds of them train: six months ahead."""
    months = [
        f"{2021 + month // 12}-{month % 12 + 1:02d}-01,{value}" for month, value in enumerate(sales(36))
    ]
    path = tmp_path / "monthly.csv"
    path.write_text("\n".join(["month,sold", *months]))
    small = {"epochs": 1, "batches": 2, "hidden": 8, "local": 8}
    folder = run(ForecastRecipe, {"csv": path, "out": tmp_path, "threads": 1, "quiet": True, **small})
    assert read_bundle(folder).manifest.spec_as(ForecastSpec).horizon == 6


def test_whatever_ends_a_training_the_series_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A learning rate that no network survives: the best weights are written, or the message tells which series."""
    path = write(tmp_path / "two.csv", {"one": sales(90), "other": sales(90, 1)})
    wild = {"learning_rate": 1e12, "clip_norm": 1e30, "warmup_steps": 0, "epochs": 3, "batches": 30}
    given = {"csv": path, "out": tmp_path, "threads": 1, "quiet": True, "hidden": 8, "local": 8, **wild}
    try:
        folder = run(ForecastRecipe, given)
    except TrainingError as error:
        said = error.message
    else:
        assert np.isfinite([figure.value for figure in read_bundle(folder).manifest.quality]).all()
        said = capsys.readouterr().err
    assert "series 'o" in said
    assert "usually cures this" in said
