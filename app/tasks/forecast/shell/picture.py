"""Pictures of forecasts: the end of each series, what lies ahead, and its intervals. Needs matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.core.errors import ConfigurationError
from app.features.calendar import parse_timestamp, timestamps
from app.features.frequency import parse_frequency
from app.tasks.forecast.schema import Forecast, SeriesInput

SUFFIXES = (".png", ".svg", ".pdf")
# More would be too small to read.
_MOST_SERIES = 12
_COLUMNS = 3
# Of the history as many steps are shown as five horizons have, and this many at least.
_LEAST_SHOWN = 60
_WIDTH, _HEIGHT = 6.0, 3.2


def check_drawable(path: Path) -> None:
    """Raises ConfigurationError: the suffix is none that is drawn, or matplotlib is not installed."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigurationError(f"--plot is {str(path)!r}; its name must end in {', '.join(SUFFIXES)}")
    try:
        import matplotlib  # noqa: F401  whether it is there
    except ImportError as error:
        text = "--plot needs matplotlib; in a checkout: pip install '.[plot]'"
        raise ConfigurationError(text) from error


def draw(series: Sequence[SeriesInput], forecasts: Sequence[Forecast], suffix: str) -> bytes:
    """A picture of the first twelve, with a note where there are more."""
    from matplotlib.figure import Figure

    num = min(len(series), _MOST_SERIES)
    columns = min(num, _COLUMNS)
    rows = math.ceil(num / columns)
    figure = Figure(figsize=(max(columns * _WIDTH, 8.0), rows * _HEIGHT + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel in panels[num:]:
        panel.set_visible(False)
    for panel, each, forecast in zip(panels, series, forecasts, strict=False):
        _draw_one(panel, each, forecast)
    panels[0].legend(loc="upper left", fontsize="small", frameon=False)
    if len(series) > num:
        figure.suptitle(f"{num} of {len(series)} series", fontsize="medium")
    data = io.BytesIO()
    figure.savefig(data, format=suffix.lower().removeprefix("."), dpi=120)
    return data.getvalue()


def _draw_one(panel: Any, series: SeriesInput, forecast: Forecast) -> None:
    horizon = len(forecast.mean)
    shown = min(len(series.values), max(5 * horizon, _LEAST_SHOWN))
    skipped = len(series.values) - shown
    past: list[Any] = list(range(skipped, len(series.values)))
    ahead: list[Any] = list(range(len(series.values), len(series.values) + horizon))
    if forecast.timestamps and series.start is not None and series.freq is not None:
        start, frequency = parse_timestamp(series.start), parse_frequency(series.freq)
        past = [at.replace(tzinfo=None) for at in timestamps(start, frequency, shown, skip=skipped)]
        ahead = [parse_timestamp(at).replace(tzinfo=None) for at in forecast.timestamps]
    panel.plot(past, [math.nan if one is None else one for one in series.values[skipped:]], color="0.2", lw=1)
    levels = sorted(forecast.quantiles, key=float)
    for low, high in zip(levels[: len(levels) // 2], reversed(levels), strict=False):
        share = (float(high) - float(low)) * 100
        panel.fill_between(
            ahead,
            forecast.quantiles[low],
            forecast.quantiles[high],
            color="tab:blue",
            alpha=0.2,
            lw=0,
            label=f"{share:g} %",
        )
    panel.plot(ahead, forecast.mean, color="tab:blue", lw=1.6, label="forecast")
    panel.set_title(forecast.id or "", fontsize="medium")
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize="small")
