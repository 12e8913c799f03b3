"""Every series of the built-in recipe, with means of the long ones, without copies of the benchmark."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from app.features.series import SeriesKind
from training.forecast.kinds import DAILY, HALF_HOURLY, HOURLY, MONTHLY, QUARTERLY, WEEKLY, YEARLY
from training.forecast.overlap import Overlap
from training.forecast.series import PATHS as _PATHS
from training.forecast.series import Files, Series, classic, etth1, exchange_rate, m4, weather
from training.forecast.shelf import FPP, M1, M3, competition, fpp, m1

# Every file of the built-in recipe, test files and the benchmark included.
PATHS: tuple[str, ...] = (*_PATHS, M1, FPP, M3)
TESTED = tuple(path for path in PATHS if "test" in path or path == M3)
_SHORTEST_MEANS = 12
# Longer series are of sensors and grids, which the benchmark has none of.
_LONGEST_COPY = 3000
_COARSER: dict[str, tuple[tuple[SeriesKind, int], ...]] = {
    "min": ((HALF_HOURLY, 30),),
    "30min": ((HOURLY, 2), (DAILY, 48)),
    "h": ((DAILY, 24), (WEEKLY, 168)),
    "D": ((WEEKLY, 7),),
    "B": ((WEEKLY, 5), (MONTHLY, 21)),
    "W": ((QUARTERLY, 13), (YEARLY, 52)),
    "MS": ((QUARTERLY, 3), (YEARLY, 12)),
    "QS": ((YEARLY, 4),),
}


def aggregated(source: Series, kind: SeriesKind, size: int) -> Series | None:
    """Means of ``size`` steps of the training part: more series of the rarer frequencies.

    Returns:
        A series that is all training, or ``None`` when it would have fewer than 12 values.
    """
    num = source.train_end // size
    if num < _SHORTEST_MEANS or not source.trained:
        return None
    # The last steps count, so that the newest mean is whole.
    values = source.values[source.train_end - num * size : source.train_end].reshape(num, size).mean(axis=1)
    name = f"{source.id}/{size}"
    return Series(name, f"{source.dataset}-means", values, None, kind, num, num, source.relative)


def built_in(files: Files) -> list[Series]:
    """Every series of the built-in recipe; see ``PATHS`` for the files.

    Raises:
        DataError: a file is missing or malformed.
    """
    single = [
        *m4(files, "Hourly"),
        *m4(files, "Weekly"),
        *etth1(files),
        *weather(files),
        *classic(files),
        *exchange_rate(files),
        *m1(files),
        *fpp(files),
    ]
    means = [
        item
        for source in single
        for kind, size in _COARSER.get(source.kind.frequency.code if source.kind.frequency else "", ())
        if (item := aggregated(source, kind, size)) is not None
    ]
    benchmark = Overlap([np.concatenate([each.given, each.asked]) for each in competition(files, M3)])

    def copied(item: Series) -> bool:
        return len(item.values) <= _LONGEST_COPY and benchmark.has(item.values)

    # What is measured stays in, without training on it.
    return [replace(item, trained=item.trained and not copied(item)) for item in [*single, *means]]


def with_validation(series: Iterable[Series]) -> list[Series]:
    """The same series with the validation part counted as training, for the last run."""
    return [replace(item, train_end=item.validation_end) for item in series]
