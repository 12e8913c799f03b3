"""The tables of docs/performance.md, from the results of one run.

    python -m benchmarks.table [--results benchmarks/results] [--page docs/performance.md]

The page's text is written by hand; what stands between the two marks is replaced.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS

BEGIN = "<!-- figures: made from benchmarks/results/ by `python -m benchmarks.table` -->"
END = "<!-- end of figures -->"
TITLES = {
    "forecast": "1. Forecasts over HTTP",
    "stateful": "2. Sessions: 256, one event in flight each",
    "generation": "3. Streamed texts",
    "engine": "4. The engine alone",
    "mixed": "5. Short streams beside long work",
    "scaling": "6. Processes, memory, start, endurance",
}


def main() -> None:
    """Read the results and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=Path(__file__).parent.parent / "docs" / "performance.md")
    options = parser.parse_args()
    text = options.page.read_text()
    options.page.write_text(replace(text, "\n".join(page(options.results))))


def replace(text: str, tables: str) -> str:
    """The page with new tables.

    Raises:
        ValueError: the page does not have both marks, in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN if not begin else END}")
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def page(results: Path) -> Iterator[str]:
    """Lines of Markdown.

    Raises:
        ValueError: the results are not of one run.
    """
    run = json.loads((results / "run.json").read_text())
    documents = [json.loads((results / f"{part['name']}.json").read_text()) for part in run["parts"]]
    strays = sorted(one["benchmark"] for one in documents if one["run"] != run["run"])
    if strays:
        raise ValueError(f"not of the run {run['run']}: {', '.join(strays)}")
    yield from _about(run)
    yield from _missed(documents)
    for document in documents:
        yield ""
        yield f"## {TITLES[document['benchmark']]}"
        yield ""
        yield f"`{document['command']}`"
        yield ""
        if document["benchmark"] == "forecast":
            yield from _forecasts(document)
        elif document["benchmark"] == "stateful":
            yield from _sessions(document)
        yield from _figures(document)


def _about(run: dict[str, Any]) -> Iterator[str]:
    machine = run["machine"]
    versions = ", ".join(
        f"{name} {machine[name]}" for name in ("onnxruntime", "uvicorn", "uvloop", "fastapi", "numpy")
    )
    yield ""
    yield (
        f"One run of {run['run'][:10]}, `{run['command']}`, {run['seconds'] / 60:.0f} minutes, commit "
        f"{machine['commit'] or 'unknown'}, on {machine['cores']} cores of {machine['processor']} under "
        f"{machine['system']}, Python {machine['python']}, {versions}."
    )


def _missed(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    aimed = [
        (one["benchmark"], figure)
        for one in documents
        for figure in one["figures"]
        if figure["met"] is not None
    ]
    missed = [(name, figure) for name, figure in aimed if not figure["met"]]
    yield ""
    yield f"{len(aimed) - len(missed)} of {len(aimed)} targets reached."
    if missed:
        yield ""
        yield "| falls short | measured | target |"
        yield "|---|---:|---|"
        for name, figure in missed:
            of = f", of {figure['of']}" if figure["of"] else ""
            yield f"| {name}: {figure['name']}{of} | {_measured(figure)} | {figure['aim']} |"


def _forecasts(document: dict[str, Any]) -> Iterator[str]:
    """Subjects down, connections across."""
    measures = document["notes"]["measures"]
    numbers = sorted({one["connections"] for one in measures})
    head = "".join(f" {number} conn.: req/s | p50, ms | p99, ms |" for number in numbers)
    yield f"| |{head} CPU s per 1,000, {numbers[-1]} conn. |"
    yield "|---|" + "---:|" * (3 * len(numbers) + 1)
    for name in dict.fromkeys(one["subject"] for one in measures):
        cells = []
        for number in numbers:
            mine = [one for one in measures if (one["subject"], one["connections"]) == (name, number)]
            cells += [
                f"{_median(mine, 'per_s'):,.0f}",
                f"{_median(mine, 'p50_ms'):.2f}",
                f"{_median(mine, 'p99_ms'):.2f}",
            ]
        last = [one for one in measures if (one["subject"], one["connections"]) == (name, numbers[-1])]
        yield f"| {name} | {' | '.join(cells)} | {_median(last, 'cpu_s_per_1000'):.2f} |"
    for name, rates in document["notes"]["raw"].items():
        yield f"| raw ONNX Runtime, batch {name} | {statistics.median(rates):,.0f} |" + " |" * (
            3 * len(numbers)
        )
    yield from _left_out(document)
    yield ""


def _sessions(document: dict[str, Any]) -> Iterator[str]:
    yield "| | events/s | p50, ms | p99, ms | server CPU per event, us | load generator's, us |"
    yield "|---|---:|---:|---:|---:|---:|"
    measures = document["notes"]["measures"]
    for name in dict.fromkeys(one["subject"] for one in measures):
        mine = [one for one in measures if one["subject"] == name]
        cells = [
            f"{_median(mine, 'per_s'):,.0f}",
            f"{_median(mine, 'p50_ms'):.1f}",
            f"{_median(mine, 'p99_ms'):.1f}",
        ]
        cells += [f"{_median(mine, 'cpu_us'):,.0f}", f"{_median(mine, 'client_cpu_us'):,.0f}"]
        yield f"| {name} | {' | '.join(cells)} |"
    for name, rates in document["notes"]["raw"].items():
        yield f"| raw loop, batch {name} | {statistics.median(rates):,.0f} | | | | |"
    yield from _left_out(document)
    yield ""


def _left_out(document: dict[str, Any]) -> Iterator[str]:
    measured = {one["subject"] for one in document["notes"]["measures"]}
    setups = {name: how for name, how in document["notes"].get("setups", {}).items() if name in measured}
    if setups:
        yield ""
        yield "Set up: " + "; ".join(f"{name}: {how}" for name, how in setups.items()) + "."
    missing = document["notes"].get("not measured", {})
    if missing:
        yield ""
        yield "Not measured: " + "; ".join(f"{name} ({_short(why)})" for name, why in missing.items()) + "."


def _figures(document: dict[str, Any]) -> Iterator[str]:
    """Every figure; where a matrix stands above, only those with a target or a ratio to another subject."""
    matrix = document["benchmark"] in ("forecast", "stateful")
    yield "| | value | ratio | target | |"
    yield "|---|---:|---|---|---|"
    for figure in document["figures"]:
        if matrix and not figure["group"]:
            continue
        ratio = "" if figure["ratio"] is None else f"{figure['ratio']:.2f} x {figure['of']}"
        verdict = {None: "", True: "reached", False: "**missed**"}[figure["met"]]
        value = f"{_number(figure['value'])} {figure['unit']}"
        yield f"| {figure['name']} | {value} | {ratio} | {figure['aim']} | {verdict} |"


def _median(measures: Sequence[dict[str, Any]], what: str) -> float:
    return statistics.median([float(one[what]) for one in measures]) if measures else float("nan")


def _measured(figure: dict[str, Any]) -> str:
    if figure["ratio"] is None:
        return f"{_number(figure['value'])} {figure['unit']}"
    return f"{figure['ratio']:.2f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _short(why: str) -> str:
    return why.strip().splitlines()[0][:120] if why.strip() else "unknown"


if __name__ == "__main__":
    main()
