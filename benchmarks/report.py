"""Results as a table on the screen, JSON, and a picture."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(os.environ.get("BENCHMARK_RESULTS") or Path(__file__).parent / "results")
RUN = os.environ.get("BENCHMARK_RUN", "")
"""Names the run that results belong to; ``benchmarks.all`` sets it."""
_PACKAGES = ("onnxruntime", "numpy", "uvicorn", "fastapi", "lmdb", "uvloop", "websockets", "orjson", "picows")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        name: what was measured.
        value: in ``unit``.
        ratio: to the floor named ``of``, when there is one.
        target: what the ratio, or without one the value, should be, in words.
        least: the target as a number: at least this.
        most: the target as a number: at most this.
        rounds: the ratio, or without one the value, of each round.
        group: which of a benchmark's tables it belongs to.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    of: str = ""
    target: str = ""
    least: float | None = None
    most: float | None = None
    rounds: tuple[float, ...] = ()
    group: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; ``None`` without one in numbers."""
        if self.least is None and self.most is None:
            return None
        measured = self.value if self.ratio is None else self.ratio
        return (self.least is None or measured >= self.least) and (self.most is None or measured <= self.most)

    @property
    def aim(self) -> str:
        """The target in words."""
        if self.target:
            return self.target
        parts = [] if self.least is None else [f"at least {self.least:g}"]
        parts += [] if self.most is None else [f"at most {self.most:g}"]
        return ", ".join(parts)


def against(
    name: str,
    values: Sequence[float],
    floors: Sequence[float],
    unit: str,
    of: str,
    *,
    least: float | None = None,
    most: float | None = None,
    group: str = "",
) -> Figure:
    """A figure from rounds: the median value, and the median of each round's ratio to its own floor."""
    ratios = [value / floor for value, floor in zip(values, floors, strict=True) if floor]
    return Figure(
        name,
        statistics.median(values),
        unit,
        statistics.median(ratios) if ratios else None,
        of,
        least=least,
        most=most,
        rounds=tuple(round(ratio, 4) for ratio in ratios),
        group=group,
    )


def plain(
    name: str,
    values: Sequence[float],
    unit: str,
    *,
    least: float | None = None,
    most: float | None = None,
    group: str = "",
) -> Figure:
    """A figure from rounds without a floor: the median."""
    kept = tuple(round(value, 4) for value in values)
    return Figure(name, statistics.median(values), unit, least=least, most=most, rounds=kept, group=group)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "-"
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": commit(),
        **packages,
    }


def commit() -> str:
    """The checkout's commit, with ``+`` when files of the server differ from it; empty without git."""
    folder = Path(__file__).parent.parent
    try:
        name = _git(folder, "rev-parse", "--short", "HEAD")
        changed = _git(folder, "status", "--porcelain", "app")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return name.strip() + ("+" if changed.strip() else "")


def command(name: str) -> str:
    """The command line of this run, without the folders of this machine."""
    words = [re.sub(r"(^|=)/(?:.*/)?([^/]+)/*$", r"\1\2", word) for word in sys.argv[1:]]
    return " ".join([f"python -m benchmarks.{name}", *words])


def publish(name: str, figures: list[Figure], notes: Mapping[str, object]) -> None:
    """Print the figures and save them as ``results/NAME.json`` and ``results/NAME.svg``."""
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:8.2f} x {figure.of}"
        verdict = {None: "", True: " (reached)", False: " (MISSED)"}[figure.met]
        print(f"{figure.name:58} {figure.value:10.4g} {figure.unit:12} {ratio:42} {figure.aim}{verdict}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    document = {
        "benchmark": name,
        "run": RUN,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(name),
        "machine": machine(),
        "notes": dict(notes),
        "figures": [asdict(figure) | {"aim": figure.aim, "met": figure.met} for figure in figures],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    draw(RESULTS / f"{name}.svg", name, [figure for figure in figures if figure.ratio is not None])


def draw(path: Path, title: str, figures: list[Figure]) -> None:
    """A bar for each ratio, on a logarithmic axis, with its floor at one and its target as a mark."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    if not figures:
        return
    # Without these two every run would change every line of the file.
    matplotlib.rcParams["svg.hashsalt"] = title
    size = (9.0, 0.45 * len(figures) + 1.2)
    chart, axes = pyplot.subplots(figsize=size, layout="constrained")
    names = [f"{figure.name}\nof {figure.of}" for figure in figures]
    colours = ["#b0413e" if figure.met is False else "#3b6ea5" for figure in figures]
    places = range(len(figures))
    bars = axes.barh(places, [figure.ratio or 0 for figure in figures], color=colours)
    axes.set_yticks(places, names)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.axvline(1, color="#888888", linewidth=1)
    for place, figure in enumerate(figures):
        for bound in (figure.least, figure.most):
            if bound is not None:
                axes.plot([bound, bound], [place - 0.4, place + 0.4], color="black", linewidth=1.5)
    axes.set_xscale("log")
    axes.set_title(title)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    chart.savefig(path, metadata={"Date": None})
    pyplot.close(chart)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = {line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")}
    return ", ".join(sorted(names)) or platform.machine()


def _git(folder: Path, *words: str) -> str:
    return subprocess.check_output(["git", *words], cwd=folder, text=True, stderr=subprocess.DEVNULL)
