"""Series in, a bundle that forecasts out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch import Tensor

from app.bundle.manifest import Quality
from app.bundle.reader import Bundle
from app.core.errors import ExportError, TrainingError
from app.features.frequency import MAX_SEASON
from app.features.layout import Layout
from app.features.series import COLUMNS, encode
from app.tasks.forecast.spec import ForecastSpec, Frequency
from training.data.download import DataStore
from training.forecast.backtest import GraphForecaster
from training.forecast.data import ForecastData, load_built_in, load_csv
from training.forecast.loss import window_loss
from training.forecast.measure import measure
from training.forecast.net import MAX_HORIZON, Forecaster, ForecasterConfig
from training.forecast.notes import NOTES, USER_NOTES
from training.forecast.series import PATHS, Series, built_in, with_validation
from training.forecast.series_csv import CsvLayout
from training.forecast.settings import ForecastSettings, SeriesOptions, settings_for
from training.forecast.validation import Validation
from training.forecast.windows import WindowBatch, WindowConfig, WindowSampler
from training.options import override, pick
from training.recipe import Recipe, UserModule

_CSV_HORIZON = 24
_GOLDEN_STEPS = 64


class ForecastRecipe(Recipe[Forecaster, WindowBatch]):
    """One forecaster of many series."""

    task = "forecast"
    about = "Train a probabilistic forecaster on your CSV or on the built-in series, and export it."
    DataOptions = SeriesOptions
    Settings = ForecastSettings
    tokenizer = None

    def __init__(self, options: SeriesOptions, settings: ForecastSettings, data: ForecastData) -> None:
        self.settings, self.sources, self._data, self._csv = settings, data.sources, data, options.csv
        self.recorded = dataclasses.asdict(options) if options.csv is not None else {}
        series = with_validation(data.series) if settings.refit else data.series
        self._sampler = WindowSampler(series, data.weights, pick(WindowConfig, settings))
        self._validation = None if settings.refit else Validation(data.series, settings.horizon)
        self._epoch = 0

    @classmethod
    def load(cls, options: SeriesOptions, given: Mapping[str, Any], data: Path | None) -> Self:
        built_in = ForecastSettings()
        horizon = given.get("horizon")
        if horizon is None:
            horizon = built_in.horizon if options.csv is None else _CSV_HORIZON
        if not 1 <= horizon <= MAX_HORIZON:
            raise TrainingError(f"horizon is {horizon}; it must be 1 to {MAX_HORIZON} steps")
        if options.csv is None:
            return cls(options, override(built_in, given), load_built_in(data))
        columns = Layout(options.time, options.id, tuple(options.target or ()), options.freq)
        loaded = load_csv(options.csv, CsvLayout(columns, options.season), horizon)
        return cls(options, override(settings_for(loaded.series, horizon), given), loaded)

    def bundle_name(self) -> str:
        """The file's stem in the letters that bundle names may have."""
        stem = "" if self._csv is None else self._csv.stem.lower()
        return re.sub(r"[^a-z0-9]+", "-", stem).strip("-")[:64].strip("-") or "forecaster"

    def build_net(self) -> Forecaster:
        return Forecaster(
            pick(
                ForecasterConfig,
                self.settings,
                levels=self.settings.levels,
                num_frequencies=self._data.num_frequencies,
            )
        )

    @property
    def batches_per_epoch(self) -> int:
        return self.settings.batches

    def batches(self, epoch: int) -> Iterator[WindowBatch]:
        """The batches of an epoch, drawn by seed and epoch."""
        self._epoch = epoch
        random = np.random.default_rng((self.settings.seed, epoch))
        return self._sampler.batches(self.settings.batches, random)

    def loss(self, net: Forecaster, batch: WindowBatch) -> Tensor:
        return window_loss(net, batch, self.settings.relative_weight)

    def validate(self, net: Forecaster) -> float:
        """Score of the validation parts; when they are trained on, simply prefer the later epoch."""
        return -float(self._epoch) if self._validation is None else self._validation.score(net)

    def measure(self, net: Forecaster) -> list[Quality]:
        return measure(net.cpu(), self._data.series, self._data.store)

    @classmethod
    def measure_again(cls, bundle: Bundle, store: DataStore) -> list[Quality]:
        if not any(source.name in PATHS for source in bundle.manifest.provenance.data):
            return []
        return measure(GraphForecaster(bundle), built_in(store), store)

    @property
    def spec(self) -> ForecastSpec:
        return ForecastSpec(
            horizon=self.settings.horizon,
            quantiles=self.settings.levels,
            columns=COLUMNS,
            window=MAX_SEASON,
            frequencies={
                code: Frequency(index=index, season=season, long_season=long_season)
                for code, (index, season, long_season) in self._data.frequencies.items()
            },
        )

    @property
    def description(self) -> str:
        return f"Quantile forecasts up to {self.settings.horizon} steps ahead, trained on {self._data.title}."

    @property
    def notes(self) -> str:
        return NOTES if self._csv is None else USER_NOTES

    def golden_steps(self) -> np.ndarray:
        return golden_steps(self._data.series)

    @staticmethod
    def module_spec(module: UserModule) -> ForecastSpec:
        raise ExportError("a forecaster reads numbers, not tokens; use export_bundle")


def golden_steps(series: Sequence[Series]) -> np.ndarray:
    """Steps to record in the bundle: the start of three series, one with gaps, ``[3, 64, 12]``."""
    steps = np.zeros((3, _GOLDEN_STEPS, len(COLUMNS)), np.float32)
    for row in range(3):
        item = series[row * (len(series) - 1) // 2]
        values = np.resize(item.values[: item.train_end], _GOLDEN_STEPS)
        if row == 1:
            values[5:9] = np.nan
        steps[row] = encode(values, item.start, item.kind)
    return steps
