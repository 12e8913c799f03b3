"""The M3 competition: the shipped forecaster beside classical methods that are fitted to each series.

    python -m benchmarks.m3 --data DATA [--every 1] [--docs]

AutoETS and AutoTheta are those of statsforecast, where it is installed (a measuring extra: pip install
statsforecast). ``--every N`` measures every Nth series of each group; ``--docs`` writes the table into
docs/your-data.md.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.bundle.reader import read_bundle
from app.features.series import SeriesKind
from benchmarks.forecast_work import BUNDLE
from benchmarks.report import Figure, publish
from training.data.download import DataStore
from training.forecast.backtest import GraphForecaster, History, forecast_after
from training.forecast.baselines import seasonal_naive
from training.forecast.benchmark import SHORT
from training.forecast.metrics import mase, pinball, smape
from training.forecast.shelf import M3, PERIODS, Competitor, competition

DOCS = Path(__file__).parent.parent / "docs/your-data.md"
ALL = "all"
Array = NDArray[np.float64]
# Of one series: the point forecast, and the ends of the 80 % interval, if there is one.
Said = tuple[Array, tuple[Array, Array] | None]


@dataclass(slots=True)
class Scores:
    """Of a method: errors by group of series, share of values inside the interval, time."""

    mase: dict[str, list[float]] = field(default_factory=dict)
    smape: list[float] = field(default_factory=list)
    inside: list[NDArray[np.bool_]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def means(self) -> dict[str, float]:
        """MASE of each group and of all series."""
        groups = {name: float(np.mean(each)) for name, each in self.mase.items()}
        return {**groups, ALL: float(np.mean(np.concatenate([*self.mase.values()])))}

    @property
    def coverage(self) -> float | None:
        return float(np.concatenate(self.inside).mean()) if self.inside else None

    @property
    def milliseconds(self) -> float:
        """Of one series."""
        return 1e3 * self.seconds / len(self.smape)


def main() -> None:
    """Forecast, print the table, and record the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("RNNSERVE_DATA"), help="of data sets")
    parser.add_argument("--every", type=int, default=1, help="measure one series in so many of each group")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/your-data.md")
    options = parser.parse_args()
    rows = competition(DataStore.open(options.data), M3)
    chosen = {period: [row for row in rows if row.period == period][:: options.every] for period in PERIODS}
    scores = measure(chosen)
    losses = short(chosen)
    tables = f"{table(scores)}\n\n{table_of_short(losses)}"
    print(tables)
    figures = [
        Figure(f"{name.replace('`', '')}, {what}", value, unit, group=name.replace("`", ""))
        for name, each in scores.items()
        for what, value, unit in (
            *((f"MASE {group}", mean, "") for group, mean in each.means.items()),
            ("sMAPE", float(np.mean(each.smape)), ""),
            ("time of a series", each.milliseconds, "ms"),
        )
    ]
    figures += [
        Figure(f"{name.replace('`', '')}, pinball loss after {length}", loss, "", group=name.replace("`", ""))
        for name, each in losses.items()
        for length, loss in each.items()
    ]
    publish("m3", figures, {"series": {period: len(each) for period, each in chosen.items()}})
    if options.docs:
        marked = re.compile(r"(<!-- m3: .*?-->\n).*?(<!-- end of m3 -->)", re.DOTALL)
        page = DOCS.read_text()
        DOCS.write_text(marked.sub(lambda match: f"{match[1]}{tables}\n{match[2]}", page))


def measure(chosen: Mapping[str, Sequence[Competitor]]) -> dict[str, Scores]:
    """Each method on each series, by the method's name; all forecast without a calendar, one by one."""
    bundle = read_bundle(BUNDLE)
    makers: dict[str, Callable[[Competitor], Said]] = {
        f"`{bundle.manifest.reference}`": shipped(GraphForecaster(bundle)),
        "seasonal naive": naive,
        **classical(),
    }
    scores = {}
    for name, said in makers.items():
        scores[name] = found = Scores()
        for period, rows in chosen.items():
            said(rows[0])
            for row in rows:
                began = time.perf_counter()
                point, interval = said(row)
                found.seconds += time.perf_counter() - began
                error = mase(row.asked, point, row.given, PERIODS[period][2])
                found.mase.setdefault(period, []).append(error)
                found.smape.append(smape(row.asked, point))
                if interval is not None:
                    found.inside.append((interval[0] <= row.asked) & (row.asked <= interval[1]))
    return scores


def short(chosen: Mapping[str, Sequence[Competitor]]) -> dict[str, dict[int, float]]:
    """Scaled pinball loss of all quantiles by method and by how many of the last values are known."""
    bundle = read_bundle(BUNDLE)
    net = GraphForecaster(bundle)
    levels = net.quantile_levels
    makers: dict[str, Callable[[Array, SeriesKind, int, int], Array]] = {
        f"`{bundle.manifest.reference}`": lambda given, kind, horizon, season: forecast_after(
            net, [History(given, None, kind)]
        )[0][:horizon],
        "seasonal naive": lambda given, kind, horizon, season: np.repeat(
            seasonal_naive(given, horizon, season)[:, None], len(levels), 1
        ),
    }
    ets = quantiles_of_ets(levels)
    if ets is not None:
        makers["AutoETS"] = ets
    losses: dict[str, dict[int, float]] = {}
    for name, said in makers.items():
        for length in SHORT:
            found = []
            for period, rows in chosen.items():
                kind, horizon, season = PERIODS[period]
                for row in rows:
                    scale = float(np.mean(np.abs(row.given[season:] - row.given[:-season])))
                    quantiles = said(row.given[-length:], kind, horizon, season)
                    found.append(2.0 * pinball(row.asked, quantiles, levels) / scale)
            losses.setdefault(name, {})[length] = float(np.mean(found))
    return losses


def quantiles_of_ets(levels: Sequence[float]) -> Callable[[Array, SeriesKind, int, int], Array] | None:
    """AutoETS, whose mean is its median; without a season where fewer than two are known, and Naive of the
    same package where that has too few values for it.
    """
    try:
        from statsforecast.models import AutoETS, Naive
    except ModuleNotFoundError:
        return None
    percents: list[Any] = [round(100.0 * (1.0 - 2.0 * level), 6) for level in levels if level < 0.5]

    def said(given: Array, kind: SeriesKind, horizon: int, season: int) -> Array:
        model = AutoETS(season_length=season if len(given) >= 2 * season else 1)
        with np.errstate(divide="ignore", invalid="ignore"):  # as many numbers as values
            try:
                answer = model.forecast(y=given, h=horizon, level=percents)
            except NotImplementedError:
                answer = Naive().forecast(y=given, h=horizon, level=percents)
        low = [answer[f"lo-{percent}"] for percent in percents]
        high = [answer[f"hi-{percent}"] for percent in reversed(percents)]
        return np.stack([*low, answer["mean"], *high], axis=1)

    return said


def table_of_short(losses: Mapping[str, Mapping[int, float]]) -> str:
    """Markdown."""
    lines = ["| scaled pinball loss | " + " | ".join(f"after {length} values" for length in SHORT) + " |"]
    lines.append("|---|" + "---:|" * len(SHORT))
    for name, each in losses.items():
        lines.append(f"| {name} | " + " | ".join(f"{each[length]:.3f}" for length in SHORT) + " |")
    return "\n".join(lines)


def shipped(net: GraphForecaster) -> Callable[[Competitor], Said]:
    low, middle, high = (net.quantile_levels.index(level) for level in (0.1, 0.5, 0.9))

    def said(row: Competitor) -> Said:
        kind, horizon, _ = PERIODS[row.period]
        quantiles = forecast_after(net, [History(row.given, None, kind)])[0][:horizon]
        return quantiles[:, middle], (quantiles[:, low], quantiles[:, high])

    return said


def naive(row: Competitor) -> Said:
    _, horizon, season = PERIODS[row.period]
    return seasonal_naive(row.given, horizon, season), None


def classical() -> dict[str, Callable[[Competitor], Said]]:
    """Those of statsforecast; none where it is not installed."""
    try:
        from statsforecast.models import AutoETS, AutoTheta
    except ModuleNotFoundError:
        return {}

    def fitted(method: type[AutoETS] | type[AutoTheta]) -> Callable[[Competitor], Said]:
        def said(row: Competitor) -> Said:
            _, horizon, season = PERIODS[row.period]
            answer = method(season_length=season).forecast(y=row.given, h=horizon, level=[80])
            return answer["mean"], (answer["lo-80"], answer["hi-80"])

        return said

    return {"AutoETS": fitted(AutoETS), "AutoTheta": fitted(AutoTheta)}


def table(scores: Mapping[str, Scores]) -> str:
    """Markdown; MASE by group, then the rest over all series."""
    groups = [*PERIODS, ALL]
    errors = " | ".join(f"MASE, {group}" for group in groups)
    lines = [
        f"| | {errors} | sMAPE | 80 % interval holds | ms a series |",
        "|---|" + "---:|" * (len(groups) + 3),
    ]
    for name, each in scores.items():
        cells = [f"{each.means[group]:.3f}" for group in groups]
        covered = "" if each.coverage is None else f"{100 * each.coverage:.1f} %"
        cells += [f"{np.mean(each.smape):.2f}", covered, f"{each.milliseconds:.3g}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
