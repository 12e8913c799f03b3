"""``rnnserve-train forecast``: series in, a bundle that forecasts out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from app.bundle.manifest import Quality
from app.core.errors import TrainingError
from app.features.frequency import MAX_SEASON
from app.features.series import COLUMNS, encode
from training.export import describe_run, export_bundle
from training.forecast.data import ForecastData
from training.forecast.loss import window_loss
from training.forecast.measure import Validation, report_built_in, report_user
from training.forecast.net import MAX_HORIZON, Forecaster, ForecasterConfig
from training.forecast.quantiles import LEVELS
from training.forecast.series import Series, with_validation
from training.forecast.windows import WindowBatch, WindowConfig, WindowSampler
from training.loop import seed_everything
from training.run import (
    CellName,
    NonlinearityName,
    loop_config,
    recorded_command,
    train,
    use_threads,
)

_GOLDEN_STEPS = 64
_NOTES = (
    "One model for hourly, daily, business-daily, weekly, monthly, quarterly and yearly series. It reads a "
    "series step by step and predicts nine quantiles for each of the next 48 steps after every one of them; "
    "the 0.5 quantile is the point forecast. Missing values, an unknown start and an unknown frequency are "
    "allowed.\n\n"
    "Limits: values are float32, so a series whose variation is less than a millionth of its level looks "
    "constant. It looks back at most 336 steps for seasonal values, so a yearly season of daily data is seen "
    "only through the calendar. A frequency that is not listed is treated as unknown, and forecast with its "
    "usual season. It knows nothing but the series: no holidays, no prices, no other series."
)
_USER_NOTES = (
    "Trained on a file of the user's own. The test part is the last tenth of each series (at least one "
    "horizon); it was not seen in training and did not choose the weights."
)


@dataclass(frozen=True, slots=True)
class ForecastSettings:
    """Everything that decides the result of a run, apart from the data.

    Attributes:
        horizon: steps ahead that every step predicts.
        quantiles: levels, comma-separated; 0.5 must be among them.
        local: units of the network that turns context into the quantiles of one horizon.
        relative_weight: share of the symmetric relative error of the median in the loss.
        batches: of an epoch.
        length: steps of a window that the recurrent layers read.
        origins: forecasts of a window that are scored.
        refit: count the validation parts as training; the last epoch's average is then kept.

    The others are those of the network and of :class:`training.loop.LoopConfig`.
    """

    horizon: int = 48
    quantiles: str = ",".join(str(level) for level in LEVELS)
    cell: CellName = "lstm"
    nonlinearity: NonlinearityName = "tanh"
    layers: int = 2
    hidden: int = 64
    local: int = 48
    dropout: float = 0.0
    relative_weight: float = 3.0
    epochs: int = 16
    batches: int = 225
    batch_size: int = 64
    length: int = 256
    origins: int = 24
    patience: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    clip_norm: float = 1.0
    warmup_steps: int = 100
    average_decay: float = 0.995
    refit: bool = False
    seed: int = 0
    device: str = "cpu"

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantile levels as numbers, ascending.

        Raises:
            TrainingError: they are not numbers inside (0, 1), or 0.5 is not one of them.
        """
        try:
            levels = tuple(sorted({float(cell) for cell in self.quantiles.split(",")}))
        except ValueError:
            levels = ()
        if 0.5 not in levels or not all(0 < level < 1 for level in levels):
            raise TrainingError(
                f"quantiles are {self.quantiles!r}; they must be numbers between 0 and 1, comma-separated, "
                "and 0.5 must be one of them"
            )
        return levels


def settings_for(data: ForecastData, horizon: int) -> ForecastSettings:
    """Settings for a user's series: small networks and short runs for little data."""
    longest = max(item.train_end for item in data.series)
    total = sum(item.train_end for item in data.series)
    small = total < 5000
    return ForecastSettings(
        horizon=horizon,
        hidden=32 if small else 64,
        local=32 if small else 48,
        dropout=0.2 if small else 0.1,
        relative_weight=0.0,
        epochs=20,
        batches=30 if small else 100,
        batch_size=32,
        length=int(np.clip(longest, 16, 256)),
        origins=16,
        patience=6,
        learning_rate=2e-3,
        weight_decay=0.05 if small else 0.01,
        warmup_steps=30,
        average_decay=0.98 if small else 0.99,
    )


class ForecastTrainer:
    """Batches and validation of one set of series for :func:`training.loop.fit`."""

    def __init__(self, data: ForecastData, settings: ForecastSettings) -> None:
        self._settings = settings
        series = with_validation(data.series) if settings.refit else data.series
        config = WindowConfig(
            batch=settings.batch_size,
            length=settings.length,
            origins=settings.origins,
            horizon=settings.horizon,
        )
        self._sampler = WindowSampler(series, data.weights, config)
        self._validation = Validation(data.series)
        self._epoch = 0

    def batches(self, epoch: int) -> Iterator[WindowBatch]:
        """The batches of an epoch, drawn by seed and epoch."""
        self._epoch = epoch
        random = np.random.default_rng((self._settings.seed, epoch))
        return self._sampler.batches(self._settings.batches, random)

    def loss(self, net: Forecaster, batch: WindowBatch) -> Tensor:
        """The training loss of a batch."""
        return window_loss(net, batch, self._settings.relative_weight)

    def validate(self, net: Forecaster) -> float:
        """Score of the validation parts; when they are trained on, simply prefer the later epoch."""
        return -float(self._epoch) if self._settings.refit else self._validation.score(net)


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


def run(
    settings: ForecastSettings,
    data: ForecastData,
    *,
    source: dict[str, object],
    targets: Sequence[str] = (),
    name: str,
    version: str,
    out: Path,
    checkpoint: Path | None = None,
    resume: bool = False,
    threads: int | None = None,
    quiet: bool = False,
) -> Path:
    """Train, evaluate and export one forecaster.

    Args:
        settings: what decides the result.
        data: from ``training.forecast.data``.
        source: the options that chose the data, for the recorded command.
        targets: the value columns that were named, for the same.
        name: of the bundle.
        version: of the bundle.
        out: the models folder.
        checkpoint: where the run is kept after every epoch.
        resume: go on from the checkpoint.
        threads: CPU threads.
        quiet: show no progress.

    Returns:
        The bundle's folder.

    Raises:
        TrainingError: the data, the training or the export failed; the message says why.
    """
    use_threads(threads)
    if not 1 <= settings.horizon <= MAX_HORIZON:
        raise TrainingError(f"horizon is {settings.horizon}; it must be 1 to {MAX_HORIZON} steps")
    seed_everything(settings.seed)
    net = Forecaster(
        ForecasterConfig(
            cell=settings.cell,
            nonlinearity=settings.nonlinearity,
            layers=settings.layers,
            hidden=settings.hidden,
            dropout=settings.dropout,
            horizon=settings.horizon,
            levels=settings.levels,
            num_frequencies=data.num_frequencies,
            local=settings.local,
        )
    )
    trainer = ForecastTrainer(data, settings)
    report = train(
        net,
        batches=trainer.batches,
        batches_per_epoch=settings.batches,
        loss=trainer.loss,
        validate=trainer.validate,
        config=loop_config(settings),
        checkpoint=checkpoint,
        resume=resume,
        quiet=quiet,
    )
    net.cpu()
    quality: list[Quality] = (
        report_user(net, data.series) if data.store is None else report_built_in(net, data.series, data.store)
    )
    named = [shlex.join(["--target", column]) for column in targets]
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description=f"Quantile forecasts up to {settings.horizon} steps ahead, trained on {data.title}."[
            :500
        ],
        spec=ForecastSpec(
            horizon=settings.horizon,
            quantiles=settings.levels,
            columns=COLUMNS,
            window=MAX_SEASON,
            frequencies={
                code: Frequency(index=index, season=season, long_season=long_season)
                for code, (index, season, long_season) in data.frequencies.items()
            },
        ),
        provenance=describe_run(
            " ".join(
                [recorded_command("forecast", {**source, "name": name, "version": version}, settings), *named]
            ),
            settings.seed,
            data.sources,
            report.seconds,
        ),
        quality=quality,
        golden_steps=golden_steps(data.series),
        card_notes=_NOTES if data.store is not None else _USER_NOTES,
    )
