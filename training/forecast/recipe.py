"""Series in, a bundle that forecasts out."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch import Tensor

from app.bundle.manifest import Quality
from app.bundle.reader import Bundle
from app.core.errors import ExportError, TrainingError
from app.tasks.forecast.covariate_spec import all_columns
from app.tasks.forecast.spec import ForecastSpec, Frequency
from training.data.download import DataStore
from training.forecast.backtest import GraphForecaster
from training.forecast.beside import NONE, Beside
from training.forecast.data import ForecastData, load_built_in, load_csv
from training.forecast.library import PATHS, built_in, with_validation
from training.forecast.look_back import WINDOW
from training.forecast.loss import window_loss
from training.forecast.measure import measure
from training.forecast.net import MAX_HORIZON, Forecaster, ForecasterConfig
from training.forecast.notes import NOTES, USER_NOTES
from training.forecast.series import Series
from training.forecast.series_csv import fitting_horizon
from training.forecast.settings import ForecastSettings, SeriesOptions, settings_for, settings_from
from training.forecast.user_report import user_report
from training.forecast.validation import Validation
from training.forecast.warm import WEIGHTS_FILE, Start, pack_weights
from training.forecast.windows import WindowBatch, WindowConfig, WindowSampler
from training.loop_config import FitReport
from training.options import RunOptions, override, pick
from training.recipe import Recipe, UserModule
from training.start import leave_to

_GOLDEN_STEPS = 64
_BLAMED = 5
# What a network to start from decides.
_SHAPE = ("quantiles", "cell", "nonlinearity", "layers", "hidden", "local")


class ForecastRecipe(Recipe[Forecaster, WindowBatch]):
    """One forecaster of many series."""

    task = "forecast"
    about = "Train a probabilistic forecaster on your CSV or on the built-in series, and export it."
    DataOptions = SeriesOptions
    Settings = ForecastSettings
    tokenizer = None

    def __init__(
        self,
        options: SeriesOptions,
        settings: ForecastSettings,
        data: ForecastData,
        start: Start | None = None,
    ) -> None:
        self._start = start
        self.starts_trained = start is not None
        self.settings, self.sources, self._data, self._csv = settings, data.sources, data, options.csv
        self.recorded = dataclasses.asdict(options) if options.csv is not None else {}
        self.recorded.pop("start", None)
        if start is not None:
            self.recorded["from"], self.decided = start.reference, _SHAPE
        series = with_validation(data.series) if settings.refit else data.series
        self._sampler = WindowSampler(
            series,
            data.weights,
            pick(WindowConfig, settings),
            settings.made,
            covariates=data.covariates,
            num_frequencies=data.num_frequencies,
        )
        self._validation = None if settings.refit else Validation(data.series, settings.horizon)
        self._epoch, self._table = 0, ""

    @classmethod
    def load(cls, options: SeriesOptions, given: Mapping[str, Any], data: Path | None) -> Self:
        horizon = given.get("horizon")
        if horizon is not None and not 1 <= horizon <= MAX_HORIZON:
            raise TrainingError(f"horizon is {horizon}; it must be 1 to {MAX_HORIZON} steps")
        start = None
        if options.start is not None:
            start = Start(options.start, Path(given.get("out") or RunOptions().out))
            leave_to(start.reference, _SHAPE, given)
        if options.csv is None:
            return cls(options, override(ForecastSettings(), given), load_built_in(data), start)
        layout = options.layout
        if horizon is None:
            horizon = fitting_horizon(options.csv, layout)
        loaded = load_csv(options.csv, layout, horizon, start)
        made = settings_for(loaded.series, horizon)
        settings = made if start is None else settings_from(start, loaded.series, horizon)
        return cls(options, override(settings, given), loaded, start)

    def bundle_name(self) -> str:
        """The file's stem in the letters that bundle names may have."""
        stem = "" if self._csv is None else self._csv.stem.lower()
        return re.sub(r"[^a-z0-9]+", "-", stem).strip("-")[:64].strip("-") or "forecaster"

    def build_net(self) -> Forecaster:
        if self._start is not None:
            return self._start.net(self.settings.horizon, self.settings.dropout, self._beside)
        return Forecaster(
            pick(
                ForecasterConfig,
                self.settings,
                levels=self.settings.levels,
                num_frequencies=self._data.num_frequencies,
                beside=self._beside,
            )
        )

    @property
    def _beside(self) -> Beside:
        spec = self._data.covariates
        return NONE if spec is None else Beside(spec.known, spec.others)

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

    def blame(self, batch: WindowBatch) -> str:
        """The series that most windows of the batch were cut from."""
        counts = Counter(int(place) for place in batch.series if place >= 0)
        names = [repr(self._data.series[place].id) for place, _ in counts.most_common(_BLAMED)]
        return "series " + ", ".join(names) if names else "made-up series"

    def files(self, net: Forecaster) -> dict[str, bytes]:
        return {WEIGHTS_FILE: pack_weights(net)}

    def validate(self, net: Forecaster) -> float:
        """Score of the validation parts; when they are trained on, simply prefer the later epoch."""
        return -float(self._epoch) if self._validation is None else self._validation.score(net)

    def after(self, net: Forecaster, report: FitReport) -> Forecaster:
        """With intervals that hold what they promise on the validation parts, where these tell."""
        if self._validation is not None:
            self._validation.calibrate(net)
        return net

    def measure(self, net: Forecaster) -> list[Quality]:
        if self._data.store is not None:
            return measure(net.cpu(), self._data.series, self._data.store)
        report, self._table = user_report(net.cpu(), self._data.series)
        return report

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
            columns=all_columns(self._data.covariates, self.settings.horizon),
            window=WINDOW,
            frequencies={
                code: Frequency(index=index, season=season, long_season=long_season)
                for code, (index, season, long_season) in self._data.frequencies.items()
            },
            covariates=self._data.covariates,
        )

    @property
    def description(self) -> str:
        return f"Quantile forecasts up to {self.settings.horizon} steps ahead, trained on {self._data.title}."

    @property
    def notes(self) -> str:
        return NOTES if self._csv is None else f"{USER_NOTES}\n\n{self._table}"

    def golden_steps(self) -> np.ndarray:
        return golden_steps(self._data.series, self.settings.horizon)

    @staticmethod
    def module_spec(module: UserModule) -> ForecastSpec:
        raise ExportError("a forecaster reads numbers, not tokens; use export_bundle")


def golden_steps(series: Sequence[Series], horizon: int = 1) -> np.ndarray:
    """Steps to record in the bundle: the start of three series, one with gaps, ``[3, 64, k]``."""
    steps = []
    for row in range(3):
        item = series[row * (len(series) - 1) // 2]
        values = np.resize(item.values[: item.train_end], _GOLDEN_STEPS)
        if row == 1:
            values[5:9] = np.nan
        steps.append(replace(item, values=values).steps(0, _GOLDEN_STEPS, horizon))
    return np.stack(steps)
