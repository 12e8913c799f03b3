"""How good the events of ``POST /anomalies`` are, and how often it cries wolf.

    python -m benchmarks.anomalies --data DATA [--models models] [--docs]

Two tables: false alarms on series without anomalies, asked for and measured; and the files of the Numenta
Anomaly Benchmark, scored by windows (:mod:`benchmarks.nab`), beside a rolling z-score of the 1,000 values
before. ``--docs`` writes them into docs/your-data.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import nab
from benchmarks.report import Figure, publish
from benchmarks.server import Server

MODELS = Path(__file__).parent.parent / "models"
DOCS = Path(__file__).parent.parent / "docs/your-data.md"
RATES = (0.01, 0.001, 0.0001)
GAP = 10
WINDOW = 1000

Array = NDArray[np.float64]
_SEASON = 24
_LEVELS = np.sin(np.arange(_SEASON) * 2 * np.pi / _SEASON)


def _season(noise: Array) -> Array:
    return 100 + 20 * np.resize(_LEVELS, len(noise)) + 4 * noise


CLEAN: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "noise": lambda chance, num: 50 + chance.normal(size=num),
    "a daily season with noise": lambda chance, num: _season(chance.normal(size=num)),
    "the same with heavy tails (Student's t, 4)": lambda chance, num: _season(chance.standard_t(4, num)),
    "a random walk": lambda chance, num: np.cumsum(chance.normal(size=num)),
    "counts (Poisson, 3 an hour)": lambda chance, num: chance.poisson(3, num).astype(float),
}


def main() -> None:
    """Ask a server of its own, print the tables, and record the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("RNNSERVE_DATA"), help="folder of data sets"
    )
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--series", type=int, default=20, help="clean series of each kind")
    parser.add_argument("--points", type=int, default=5000, help="values of each")
    parser.add_argument("--files", type=int, help="files of the benchmark; left out, all")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/your-data.md")
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data names the folder of data sets; or set RNNSERVE_DATA")
    files = nab.read_files(Path(options.data))[: options.files]
    with Server(options.models, sessions="off", request_timeout_s=600) as server:
        wrong, model = false_alarms(server.url, options.series, options.points)
        found = [np.array(_ask(server.url, file.values, file.freq)[0], float) for file in files]
    detected = windows(files, found)
    tables = f"{_clean_table(wrong)}\n\n{_window_table(detected)}"
    print(tables)
    publish("anomalies", _figures(wrong, detected), {"model": model, "files": len(files)})
    if options.docs:
        text = DOCS.read_text()
        marked = re.compile(r"(<!-- anomalies: .*?-->\n).*?(<!-- end of anomalies -->)", re.DOTALL)
        DOCS.write_text(marked.sub(lambda match: match[1] + tables + "\n" + match[2], text))


def false_alarms(url: str, num: int, points: int) -> tuple[dict[str, dict[float, float]], str]:
    """Of each kind of clean series the share of alarms, by what was asked for; and the model."""
    shares: dict[str, dict[float, float]] = {}
    model = ""
    for kind, make in CLEAN.items():
        chance = np.random.default_rng(1)
        said = []
        for _ in range(num):
            probabilities, model = _ask(url, make(chance, points).tolist(), "h")
            said.append(np.array(probabilities, float))
        known = np.concatenate(said)
        known = known[~np.isnan(known)]
        shares[kind] = {rate: float((known <= rate).mean()) for rate in RATES}
    return shares, model


def windows(files: Sequence[nab.File], found: Sequence[Array]) -> dict[str, nab.Result]:
    """Ours and the rolling z-score, at thresholds for the same rates, and at those that score best."""
    rare = [-np.log10(np.nan_to_num(each, nan=1.0)) for each in found]
    rolling = [nab.rolling_z(file.values, WINDOW) for file in files]

    def at(scores: Sequence[Array], threshold: float) -> nab.Result:
        return nab.score(files, [nab.onsets(each >= threshold, GAP) for each in scores])

    def best(scores: Sequence[Array], thresholds: Sequence[float]) -> nab.Result:
        return max((at(scores, threshold) for threshold in thresholds), key=lambda result: result.score)

    results = {f"`/anomalies`, `false_alarms={rate:g}`": at(rare, -np.log10(rate)) for rate in RATES}
    results["`/anomalies`, best of 40 thresholds"] = best(rare, np.geomspace(1.7, 12, 40).tolist())
    for rate in RATES:
        z = NormalDist().inv_cdf(1 - rate / 2)
        results[f"rolling z-score above {z:.2f}, as for {rate:g}"] = at(rolling, z)
    results["rolling z-score, best of 40 thresholds"] = best(rolling, np.geomspace(2, 40, 40).tolist())
    return results


def _ask(url: str, values: list[float], freq: str) -> tuple[list[float | None], str]:
    body = json.dumps({"values": values, "freq": freq, "gap": GAP}).encode()
    with urllib.request.urlopen(f"{url}/anomalies", body, timeout=600) as answer:
        said: dict[str, Any] = json.load(answer)
    return said["series"][0]["probabilities"], said["model"]


def _clean_table(shares: dict[str, dict[float, float]]) -> str:
    head = _row("a series without anomalies", *(f"asked for {rate:g}" for rate in RATES))
    rows = [_row(kind, *(f"{share:.2g}" for share in each.values())) for kind, each in shares.items()]
    return "\n".join([head, "|---" * (len(RATES) + 1) + "|", *rows])


def _window_table(results: dict[str, nab.Result]) -> str:
    names = ("detector", "windows found", "events that are right", "F1", "NAB-like score", "wrong in 1,000")
    lines = [_row(*names), "|---" * len(names) + "|"]
    for name, each in results.items():
        shares = f"{each.recall:.0%}", f"{each.precision:.0%}"
        lines.append(
            _row(name, *shares, f"{each.f1:.2f}", f"{each.score:.1f}", f"{each.false_per_thousand:.2f}")
        )
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _figures(shares: dict[str, dict[float, float]], results: dict[str, nab.Result]) -> list[Figure]:
    figures = [
        Figure(f"false alarms asked for {rate:g}, {kind}", share, "share", group="clean series")
        for kind, each in shares.items()
        for rate, share in each.items()
    ]
    for name, each in results.items():
        plain = name.replace("`", "")
        figures += [
            Figure(f"{plain}, {what}", round(value, 4), unit, group="NAB")
            for what, value, unit in (
                ("windows found", each.recall, "share"),
                ("right", each.precision, "share"),
                ("NAB-like score", each.score, "of 100"),
            )
        ]
    return figures


if __name__ == "__main__":
    main()
