"""Results as a table on the screen, JSON, and a picture."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        name: what was measured.
        value: in ``unit``.
        ratio: to the floor named ``of``, when there is one.
        target: what the ratio should be, in words.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    of: str = ""
    target: str = ""


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    packages = {name: version(name) for name in ("onnxruntime", "numpy", "uvicorn", "fastapi", "lmdb")}
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "python": platform.python_version(),
        **packages,
    }


def publish(name: str, figures: list[Figure], notes: dict[str, object]) -> None:
    """Print the figures and save them as ``results/NAME.json`` and ``results/NAME.svg``."""
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:8.2f} x {figure.of}"
        print(f"{figure.name:48} {figure.value:12.4g} {figure.unit:12} {ratio:38} {figure.target}")
    RESULTS.mkdir(exist_ok=True)
    document = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python -m benchmarks." + " ".join([name, *sys.argv[1:]]),
        "machine": machine(),
        "notes": notes,
        "figures": [asdict(figure) for figure in figures],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    draw(RESULTS / f"{name}.svg", name, [figure for figure in figures if figure.ratio is not None])


def draw(path: Path, title: str, figures: list[Figure]) -> None:
    """A bar for each ratio, on a logarithmic axis, with its floor at one."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    if not figures:
        return
    size = (8.0, 0.5 * len(figures) + 1.2)
    chart, axes = pyplot.subplots(figsize=size, layout="constrained")
    names = [f"{figure.name}\nof {figure.of}" for figure in figures]
    bars = axes.barh(names, [figure.ratio or 0 for figure in figures], color="#3b6ea5")
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.axvline(1, color="#888888", linewidth=1)
    axes.set_xscale("log")
    axes.set_title(title)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=8)
    chart.savefig(path)
    pyplot.close(chart)
