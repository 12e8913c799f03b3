"""Series kept as JSON lines: the M1 and M3 competitions and those of forecasting textbooks.

M3 is the benchmark. It is read to be measured on, and to drop what also stands in it from training,
and for nothing else.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import DataError
from app.features.series import UNKNOWN, SeriesKind
from training.forecast.kinds import DAILY, HALF_HOURLY, HOURLY, MINUTELY, MONTHLY, QUARTERLY, WEEKLY, YEARLY
from training.forecast.series import Files, Series

Array = NDArray[np.float64]

M1, M3, FPP = "forecasting/m1/m1.jsonl.gz", "forecasting/m3/m3.jsonl.gz", "forecasting/fpp/fpp.jsonl.gz"
# Period: kind, horizon, season that MASE is scaled by.
PERIODS: dict[str, tuple[SeriesKind, int, int]] = {
    "yearly": (YEARLY, 6, 1),
    "quarterly": (QUARTERLY, 8, 4),
    "monthly": (MONTHLY, 18, 12),
    "other": (UNKNOWN, 8, 1),
}
_FPP_KINDS: dict[float, SeriesKind] = {
    0.25: UNKNOWN,
    1.0: YEARLY,
    4.0: QUARTERLY,
    7.0: DAILY,
    12.0: MONTHLY,
    24.0: HOURLY,
    48.0: HALF_HOURLY,
    52.0: WEEKLY,
    52.1786: WEEKLY,
    845.0: MINUTELY,
    17520.0: HALF_HOURLY,
}
_FPP_HORIZONS = {1.0: 6, 4.0: 8, 12.0: 18, 52.0: 13}
# One series in so many is never trained on, and helps to choose the weights.
HELD_OUT = 10


@dataclass(frozen=True, slots=True)
class Competitor:
    """A series of a competition: what was given, what was asked, and its period."""

    id: str
    period: str
    given: Array
    asked: Array


def competition(files: Files, path: str) -> list[Competitor]:
    """The series of the M1 or M3 competition."""
    return [
        Competitor(row["id"], row["period"], np.array(row["train"], float), np.array(row["test"], float))
        for row in _rows(files, path)
    ]


def m1(files: Files) -> list[Series]:
    """The M1 competition; of one series in ten the asked part is validation, and nothing is trained on."""
    series = []
    for number, each in enumerate(competition(files, M1)):
        kind, _, _ = PERIODS[each.period]
        values = np.concatenate([each.given, each.asked])
        begin = len(each.given) if number % HELD_OUT == 0 else len(values)
        series.append(
            Series(
                each.id,
                f"m1-{each.period}",
                values,
                None,
                kind,
                begin,
                len(values),
                True,
                begin == len(values),
            )
        )
    return series


def fpp(files: Files) -> list[Series]:
    """Series of textbooks; of one in ten the last steps are validation, and nothing is trained on."""
    series = []
    for number, row in enumerate(_rows(files, FPP)):
        values = np.array([np.nan if value is None else value for value in row["values"]], float)
        seen = np.flatnonzero(np.isfinite(values))
        if len(seen) < 12:
            continue
        values = values[seen[0] : seen[-1] + 1]
        frequency = float(row["freq"])
        horizon = _FPP_HORIZONS.get(frequency, 48)
        held = number % HELD_OUT == 0 and len(values) >= 3 * horizon and len(values) < 1500
        begin = len(values) - horizon if held else len(values)
        # Errors relative to values that are mostly zero say little.
        relative = bool(np.nanmean(values > 0) > 0.9)
        name = "parts" if row["set"] == "expsmooth" and frequency == 12.0 else row["set"]
        series.append(
            Series(
                f"{row['set']} {row['id']}",
                f"fpp-{name}",
                values,
                None,
                _FPP_KINDS[frequency],
                begin,
                len(values),
                relative,
                not held,
            )
        )
    return series


def _rows(files: Files, path: str) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(files.file(path), "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
