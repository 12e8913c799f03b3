"""Of numbers: forecasts, and readings of sensors."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import torch

from app.features.frequency import MAX_SEASON, parse_frequency
from app.features.series import COLUMNS, SeriesKind, encode
from app.tasks.forecast.covariate_spec import CovariateSpec, Holidays, Scaled, Words, all_columns
from app.tasks.forecast.spec import ForecastSpec, Frequency
from app.tasks.sequence.spec import Column, NamedOutput, SequenceSpec
from tests.bundles.untrained import exported, unsettle
from training.cells import Cell
from training.forecast.beside import Beside
from training.forecast.net import Forecaster, ForecasterConfig
from training.sequence.net import Reader, ReaderConfig, Scale

HORIZON = 12
NINE_LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)


def tiny_forecaster(
    out: Path,
    cell: Cell = "lstm",
    name: str = "tiny-series",
    version: str = "1",
    levels: tuple[float, ...] = NINE_LEVELS,
) -> Path:
    """Twelve steps ahead, hourly and daily."""
    torch.manual_seed(3)
    net = Forecaster(
        ForecasterConfig(cell=cell, hidden=12, layers=2, horizon=HORIZON, local=8, levels=levels)
    )
    unsettle(net.recurrent)
    frequencies = {
        "h": Frequency(index=1, season=24, long_season=168),
        "D": Frequency(index=2, season=7, long_season=7),
    }
    return exported(
        net,
        out,
        name,
        version,
        "Random forecasts.",
        spec=ForecastSpec(
            horizon=HORIZON,
            quantiles=net.config.levels,
            columns=COLUMNS,
            window=MAX_SEASON,
            frequencies=frequencies,
        ),
        seed=3,
        golden_steps=golden_series(),
    )


def tiny_covariate_forecaster(out: Path, name: str = "tiny-shop") -> Path:
    """Of daily sales: a price and a flag known ahead, visitors, two shops, and a few holidays."""
    torch.manual_seed(5)
    covariates = CovariateSpec(
        future=(Scaled(name="price", mean=3.0, scale=1.5), Scaled(name="promo")),
        past=(Scaled(name="visitors", mean=100.0, scale=30.0),),
        static=(Words(name="shop", values=("Bonn", "Kiel")),),
        holidays=Holidays(region="DE", dates=(date(2023, 10, 3), date(2024, 1, 1), date(2025, 5, 1))),
    )
    beside = Beside(covariates.known, covariates.others)
    net = Forecaster(ForecasterConfig(hidden=12, layers=1, horizon=HORIZON, local=8, beside=beside))
    unsettle(net)
    spec = ForecastSpec(
        horizon=HORIZON,
        quantiles=net.config.levels,
        columns=all_columns(covariates, HORIZON),
        window=MAX_SEASON,
        frequencies={"D": Frequency(index=1, season=7, long_season=7)},
        covariates=covariates,
    )
    golden = np.pad(golden_series(), ((0, 0), (0, 0), (0, len(spec.columns) - len(COLUMNS))))
    return exported(
        net,
        out,
        name,
        "1",
        "Random sales.",
        spec=spec,
        seed=5,
        golden_steps=golden,
    )


def golden_series() -> np.ndarray:
    """``[2, 40, columns]``: hourly with gaps, and daily."""
    random = np.random.default_rng(0)
    values = 100 + 10 * np.sin(np.arange(40) / 4) + random.normal(0, 1, (2, 40))
    values[0, 5:9] = np.nan
    hourly = SeriesKind(parse_frequency("h"), 1, 24, 168)
    return np.stack([encode(values[0], None, hourly), encode(values[1], None, SeriesKind(None, 2, 7, 7))])


def tiny_reader(out: Path, cell: Cell = "gru", name: str = "tiny-sensors", version: str = "1") -> Path:
    """Two columns, of which the second may be missing, to a class of three and a temperature."""
    torch.manual_seed(5)
    scale = Scale((0.5, 20.0), (0.5, 4.0))
    net = Reader(ReaderConfig(4, columns=2, masked=True, cell=cell, hidden=12), scale)
    unsettle(net.recurrent)
    steps = np.random.default_rng(0).normal((0.5, 20.0), (0.5, 4.0), (3, 24, 2)).astype(np.float32)
    steps[0, 5:9, 1] = np.nan
    return exported(
        net,
        out,
        name,
        version,
        "Random verdicts.",
        spec=SequenceSpec(
            columns=(
                Column(name="vibration", unit="mm/s"),
                Column(name="temperature", unit="°C", missing=True),
            ),
            outputs=(
                NamedOutput(name="state", size=3, labels=("ok", "worn", "broken")),
                NamedOutput(name="next", unit="°C"),
            ),
        ),
        seed=5,
        golden_steps=steps,
    )
