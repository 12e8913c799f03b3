"""`rnnserve batch forecast` on a file of many series, against bare ONNX Runtime of the same network.

    python -m benchmarks.batch [--series 40000] [--rounds 3] [--seconds 4] [--formats csv,parquet,jsonl]

Series of 100 hourly points, 24 steps ahead, on all cores. The raw loops are those of the network alone, on
arrays that are ready: nothing is read, prepared or written. Command and loops take turns within a round. The
start of the command is measured by a file of one series on as many processes, and is a figure of its own: it
is the same for a million series. Beside them the classical methods of statsforecast, where it is installed (a
measuring extra: pip install statsforecast), on as many processes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import forecast_work as work
from benchmarks.report import Figure, against, plain, publish

POINTS, HORIZON = 100, 24
_BATCHES = (16, 64, 256)
_TREE = Path(__file__).parent.parent


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of the raw loops, of each batch")
    parser.add_argument("--formats", default="csv,parquet,jsonl")
    parser.add_argument("--classical", type=int, default=400, help="series for statsforecast")
    options = parser.parse_args()
    formats = options.formats.split(",")
    rates: dict[str, list[float]] = {name: [] for name in [*formats, "raw", "start"]}
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        values = write_series(folder, options.series, formats)
        write_series(folder / "one", 1, ["csv"])
        bundle = work.load()
        for _ in range(options.rounds):
            rates["raw"].append(
                max(work.raw(bundle, batch, options.seconds, cores, POINTS) for batch in _BATCHES)
            )
            start = command(folder / "one", "csv", cores)
            rates["start"].append(start)
            for suffix in formats:
                seconds = command(folder, suffix, cores) - start
                rates[suffix].append(options.series / seconds)
                print(f"  {suffix} {options.series / seconds:,.0f} series/s", flush=True)
            for method, rate in classical(values[: options.classical], cores).items():
                rates.setdefault(method, []).append(rate)
    publish("batch", figures(rates, cores), {"options": vars(options), "rounds": rates})


def write_series(folder: Path, num: int, formats: list[str]) -> NDArray[np.float64]:
    """The same series in a file of each format, ``series.csv`` and so on; their values ``[num, POINTS]``."""
    folder.mkdir(exist_ok=True)
    chance = np.random.default_rng(0)
    hours = np.arange(POINTS)
    moments = [datetime(2024, 1, 1) + timedelta(hours=hour) for hour in range(POINTS)]
    times = [moment.isoformat(" ") for moment in moments]
    level, height = chance.uniform(50, 500, (num, 1)), chance.uniform(5, 40, (num, 1))
    values = level + height * (np.sin(2 * np.pi * hours / 24) + chance.normal(0, 0.2, (num, POINTS)))
    values = values.round(2)
    if "csv" in formats:
        with (folder / "series.csv").open("w") as file:
            file.write("unique_id,ds,y\n")
            for place, row in enumerate(values.tolist()):
                file.writelines(f"s{place},{at},{value}\n" for at, value in zip(times, row, strict=True))
    if "jsonl" in formats:
        with (folder / "series.jsonl").open("w") as file:
            for place, row in enumerate(values.tolist()):
                for at, value in zip(times, row, strict=True):
                    file.write(json.dumps({"unique_id": f"s{place}", "ds": at, "y": value}) + "\n")
    if "parquet" in formats:
        import pyarrow
        from pyarrow import parquet

        ids = [f"s{place}" for place in range(num) for _ in range(POINTS)]
        stamps = np.tile(np.array(moments, "datetime64[us]"), num)
        columns = {"unique_id": ids, "ds": stamps, "y": values.ravel()}
        parquet.write_table(pyarrow.table(columns), folder / "series.parquet")
    return values


def classical(values: NDArray[np.float64], cores: int) -> dict[str, float]:
    """Series a second of statsforecast, with the intervals that it is asked for most; none without it."""
    try:
        from statsforecast import StatsForecast
        from statsforecast.models import AutoETS, AutoTheta, SeasonalNaive
    except ModuleNotFoundError:
        return {}
    import pandas

    def asked(rows: NDArray[np.float64], method: Any) -> None:
        hours = pandas.date_range("2024-01-01", periods=POINTS, freq="h")
        ids = np.repeat(np.arange(len(rows)), POINTS)
        table = pandas.DataFrame({"unique_id": ids, "ds": np.tile(hours, len(rows)), "y": rows.ravel()})
        StatsForecast(models=[method], freq="h", n_jobs=cores).forecast(df=table, h=HORIZON, level=[80, 95])

    rates = {}
    for kind in AutoETS, AutoTheta, SeasonalNaive:
        asked(values[: 2 * cores], kind(season_length=24))  # it compiles
        started = time.perf_counter()
        asked(values, kind(season_length=24))
        rates[f"statsforecast {kind.__name__}"] = len(values) / (time.perf_counter() - started)
    return rates


def command(folder: Path, suffix: str, cores: int) -> float:
    """Seconds of the command on a file; its output is of the same format."""
    out = folder / f"out.{suffix}"
    words = ["batch", "forecast", str(folder / f"series.{suffix}"), "--out", str(out)]
    words += [
        "--horizon",
        str(HORIZON),
        "--workers",
        str(cores),
        "--models",
        str(_TREE / "models"),
        "--restart",
    ]
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "app", *words], cwd=_TREE, check=True, capture_output=True)
    seconds = time.perf_counter() - started
    out.unlink()
    shutil.rmtree(folder / f".out.{suffix}.parts", ignore_errors=True)
    return seconds


def figures(rates: dict[str, list[float]], cores: int) -> list[Figure]:
    """Series a second of each format against the raw loops, and a core's rows a second."""
    found = [
        plain("raw loops on all cores", rates["raw"], "series/s"),
        plain("start of the command", rates["start"], "s"),
    ]
    for name in (name for name in rates if name.startswith("statsforecast")):
        found.append(plain(name, rates[name], "series/s"))
    for suffix in (name for name in rates if name not in ("raw", "start") and " " not in name):
        title = f"batch forecast, {suffix} to {suffix}"
        found.append(against(title, rates[suffix], rates["raw"], "series/s", "raw loops", least=0.7))
        rows = [rate * POINTS / cores for rate in rates[suffix]]
        found.append(plain(f"{title}, rows a core", rows, "rows/s"))
    return found


if __name__ == "__main__":
    main()
