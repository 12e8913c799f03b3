"""Training on a table with covariates: what the bundle knows of them, and what cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.bundle.manifest import Manifest
from app.bundle.reader import read_bundle
from app.core.errors import DataError, RnnserveError, TrainingError
from app.tasks.forecast.spec import ForecastSpec
from training.forecast.recipe import ForecastRecipe
from training.run import run

SMALL: dict[str, Any] = {
    **{"horizon": 5, "epochs": 1, "batches": 2, "hidden": 6, "local": 6, "batch_size": 8},
    **{"threads": 1, "quiet": True},
}
START = date(2023, 1, 1)


def table(folder: Path, days: int = 80, ahead: int = 5, shop: Callable[[int], str] = str) -> Path:
    """Sales and returns of three shops that depend on a flag, with the flag of some days to come."""
    random = np.random.default_rng(0)
    lines = ["day,shop,kind,sold,returned,price,promo,visitors"]
    for number in range(3):
        for day in range(days + ahead):
            promo = int(random.random() < 0.2)
            sold = round(50 + 30 * promo + random.normal() * 3, 2) if day < days else ""
            returned = round(5 + random.normal(), 2) if day < days else ""
            visitors = random.integers(50, 90) if day < days else ""
            when = START + timedelta(days=day)
            price = round(3 + random.normal() * 0.1, 2)
            lines.append(f"{when},shop {number},{shop(number)},{sold},{returned},{price},{promo},{visitors}")
    path = folder / "shops.csv"
    path.write_text("\n".join(lines))
    return path


GIVEN: dict[str, Any] = {
    **{"id": "shop", "target": ["sold", "returned"], "future": "price,promo", "past": "visitors"},
    **{"static": "kind", "holidays": "DE"},
}


def manifest_of(folder: Path, csv: Path, **given: Any) -> Manifest:
    return read_bundle(run(ForecastRecipe, {"csv": csv, "out": folder / "m", **SMALL, **given})).manifest


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("covariates")
    return manifest_of(folder, table(folder), **GIVEN)


def test_a_bundle_knows_what_its_covariates_are_measured_in(manifest: Manifest) -> None:
    """Flags stay as they are; the last row of a series is that of its last value, not of its last price."""
    spec = manifest.spec_as(ForecastSpec).covariates
    assert spec is not None
    price, promo = spec.future
    assert price.mean == pytest.approx(3, abs=0.05)
    assert price.scale == pytest.approx(0.1, rel=0.2)
    assert (promo.mean, promo.scale) == (0, 1)
    assert [each.name for each in spec.past] == ["visitors"]
    assert [each.values for each in spec.static] == [("0", "1", "2")]
    assert spec.holidays is not None
    assert date(2023, 10, 3) in spec.holidays.dates
    assert {day.year for day in spec.holidays.dates} >= {2013, 2048}
    assert (manifest.row.fields[-1].name, manifest.row.fields[-1].shape) == ("covariates", (5 * 366,))


def test_the_recorded_command_names_them(manifest: Manifest) -> None:
    for flag in ("--future price,promo", "--past visitors", "--static kind", "--holidays DE"):
        assert flag in manifest.provenance.command


def test_training_starts_from_a_forecaster_without_covariates_and_from_one_with(tmp_path: Path) -> None:
    """The first begins as good as it is without any; the second keeps what its covariates are measured in."""
    csv, out = table(tmp_path), tmp_path / "m"
    manifest_of(tmp_path, csv, id="shop", target=["sold"], name="base")
    shaped = {name: value for name, value in SMALL.items() if name not in ("hidden", "local")}
    given = {"csv": csv, "out": out, **shaped, **GIVEN}
    more = read_bundle(run(ForecastRecipe, given | {"start": "base", "name": "more"})).manifest
    kept = more.spec_as(ForecastSpec).covariates
    again = read_bundle(run(ForecastRecipe, given | {"start": "more", "name": "again"})).manifest
    assert again.spec_as(ForecastSpec).covariates == kept
    with pytest.raises(TrainingError, match=r"give the same: --future price,promo --past visitors --static"):
        run(ForecastRecipe, given | {"start": "more", "future": "price"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"future": "weather"}, "no column 'weather'; allowed: day, shop"),
        ({"future": "price", "past": "price"}, "'price' is named twice"),
        ({"future": "promo", "target": ["promo"]}, "'promo' is named twice"),
        ({"holidays": "Atlantis"}, "holidays is 'Atlantis'; give a country such as DE"),
        ({"static": "promo"}, "what is static is the same in all rows of a series"),
        ({"past": "kind"}, "column 'kind', line 2: 'a' is not a number"),
    ],
)
def test_what_cannot_be_used_is_said_before_training(
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    csv = table(tmp_path, shop=lambda number: "abc"[number])
    with pytest.raises(RnnserveError, match=message):
        manifest_of(tmp_path, csv, **{"id": "shop", "target": ["sold"], **given})


def test_holidays_need_times(tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("\n".join(["sold", *map(str, range(60))]))
    with pytest.raises(DataError, match="a column of times, which tells the days"):
        manifest_of(tmp_path, path, holidays="DE")


def test_a_static_covariate_of_many_words_is_refused(tmp_path: Path) -> None:
    """It would name single series."""
    lines = ["day,id,kind,sold"]
    lines += [f"{START + timedelta(days=day)},{name},{name},{day}" for name in range(70) for day in range(30)]
    path = tmp_path / "many.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match="'kind' has 70 different values; 1 to 64"):
        manifest_of(tmp_path, path, id="id", target=["sold"], static="kind")
