"""The options of ``rnnserve-train forecast``: tuned for the built-in series, and made for a user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from typer import Option

from app.core.errors import TrainingError
from app.features.layout import Layout
from training import options
from training.forecast.quantiles import LEVELS
from training.forecast.series import Series
from training.forecast.series_csv import CsvLayout
from training.forecast.warm import Start


@dataclass(frozen=True, slots=True)
class SeriesOptions:
    """Which series to train on."""

    csv: Annotated[Path | None, Option(help="Your CSV with a header. Left out: the built-in data sets.")] = (
        None
    )
    time: Annotated[str | None, Option(help="Column of dates or times.")] = None
    target: Annotated[
        list[str] | None, Option(help="Column to forecast; repeatable. All other columns if left out.")
    ] = None
    id: Annotated[str | None, Option(help="Column that tells series apart (long format).")] = None
    freq: Annotated[str | None, Option(help="h, D, W, MS, 15min, ...; told from the times if left out.")] = (
        None
    )
    season: Annotated[int | None, Option(help="Season in steps instead of the usual one.")] = None
    future: Annotated[
        str | None, Option(help="Columns known ahead, such as a price, by commas: covariates of all series.")
    ] = None
    past: Annotated[str | None, Option(help="Columns known up to now, by commas.")] = None
    static: Annotated[str | None, Option(help="Columns that never change along a series, by commas.")] = None
    holidays: Annotated[str | None, Option(help="A country whose holidays count: DE, or AU-VIC.")] = None
    start: Annotated[
        str | None, Option("--from", help="Start from this forecaster of the models folder: name@version.")
    ] = None

    @property
    def layout(self) -> CsvLayout:
        """Which columns mean what."""
        future, past, static = (
            () if names is None else names.split(",") for names in (self.future, self.past, self.static)
        )
        columns = Layout(self.time, self.id, self.target or (), self.freq, future, past, static)
        return CsvLayout(columns, self.season, self.holidays)


@dataclass(frozen=True, slots=True)
class ForecastSettings:
    """Everything that decides the result of a run, apart from the data."""

    horizon: Annotated[int, Option(help="Steps ahead; 24 for a CSV, 48 for the built-in data.")] = 48
    quantiles: Annotated[
        str, Option("--levels", "--quantiles", help="Quantile levels, comma-separated, with 0.5.")
    ] = ",".join(str(level) for level in LEVELS)
    cell: options.CellName = "lstm"
    nonlinearity: options.NonlinearityName = "tanh"
    layers: options.Layers = 2
    hidden: options.Hidden = 40
    local: Annotated[int, Option(min=1, help="Units of the network of one horizon.")] = 48
    dropout: Annotated[float, Option(min=0, max=1, help="Between recurrent layers.")] = 0.0
    relative_weight: Annotated[
        float, Option(min=0, help="Weight of the median's relative error in the loss.")
    ] = 1.0
    epochs: options.Epochs = 36
    batches: Annotated[int, Option(min=1, help="Batches of an epoch.")] = 400
    batch_size: Annotated[int, Option(min=1, help="Windows of a batch.")] = 48
    length: Annotated[int, Option(min=1, help="Steps of a window.")] = 256
    short: Annotated[int, Option(min=1, help="Steps of half of the windows.")] = 96
    origins: Annotated[int, Option(min=1, help="Scored forecasts of a window.")] = 16
    made: Annotated[float, Option(min=0, max=1, help="Share of windows of made-up series.")] = 0.45
    add_line: Annotated[float, Option(min=0, max=1, help="Share of windows with a line added.")] = 0.25
    add_noise: Annotated[float, Option(min=0, max=1, help="Share of windows with noise added.")] = 0.15
    patience: options.Patience = 36
    learning_rate: options.LearningRate = 3e-3
    weight_decay: options.WeightDecay = 0.02
    clip_norm: options.ClipNorm = 1.0
    warmup_steps: options.WarmupSteps = 100
    average_decay: options.AverageDecay = 0.995
    # The weights of the last epoch are kept, since nothing is left to choose better ones by.
    refit: Annotated[bool, Option(help="Train on the validation parts too.")] = False
    seed: options.Seed = 0
    device: options.Device = "cpu"

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantile levels as numbers, ascending.

        Raises:
            TrainingError: they are not numbers inside (0, 1), or 0.5 is not one of them.
        """
        try:
            levels = tuple(sorted({float(cell) for cell in self.quantiles.split(",")}))
            # The mirror image of a forecast has the mirrored levels.
            levels = tuple(sorted({*levels, *(round(1.0 - level, 9) for level in levels)}))
        except ValueError:
            levels = ()
        if 0.5 not in levels or not all(0 < level < 1 for level in levels):
            raise TrainingError(
                f"quantiles are {self.quantiles!r}; they must be numbers between 0 and 1, comma-separated, "
                "and 0.5 must be one of them"
            )
        return levels


def settings_from(start: Start, series: Sequence[Series], horizon: int) -> ForecastSettings:
    """Settings for going on from a trained network: few and small steps."""
    fresh = settings_for(series, horizon)
    return replace(
        fresh,
        quantiles=",".join(f"{level:g}" for level in start.spec.quantiles),
        epochs=10,
        batches=25,
        patience=4,
        learning_rate=3e-4,
        weight_decay=0.0,
        warmup_steps=20,
        average_decay=0.98,
        dropout=0.0,
    )


def settings_for(series: Sequence[Series], horizon: int) -> ForecastSettings:
    """Settings for a user's series: small networks and short runs for little data."""
    longest = max(item.train_end for item in series)
    small = sum(item.train_end for item in series) < 5000
    return ForecastSettings(
        horizon=horizon,
        hidden=32 if small else 40,
        local=32 if small else 48,
        dropout=0.2 if small else 0.1,
        relative_weight=0.0,
        epochs=20,
        batches=30 if small else 60,
        batch_size=32,
        length=int(np.clip(longest, 16, 256)),
        short=int(np.clip(longest, 16, 96)),
        made=0.0,
        add_line=0.0,
        add_noise=0.0,
        origins=16,
        patience=6,
        # A short run must get away from the seasonal naive forecast that it begins with.
        learning_rate=2e-2 if small else 2e-3,
        weight_decay=0.05 if small else 0.01,
        warmup_steps=30,
        average_decay=0.98 if small else 0.99,
    )
