"""The pictures of docs/long-memory.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.memory_problems import SOLVED, Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#b0413e", "#d99a2b", "#3b6ea5", "#2e7d5b", "#6b4c9a")
_AXIS = {"adding": "numbers to read", "copy": "blanks to wait"}
# What is smaller has vanished for float32 beside a gradient of one.
_SMALLEST = 1e-16


def draw_learned(path: Path, outcomes: Mapping[Any, Mapping[str, Mapping[int, Outcome]]]) -> None:
    """The error by length, a panel for each problem."""
    chart, panels = _chart(path, len(outcomes))
    for axes, (kind, by_name) in zip(panels, outcomes.items(), strict=True):
        for (name, each), colour in zip(by_name.items(), _COLOURS, strict=False):
            axes.plot(list(each), [one.error for one in each.values()], "o-", color=colour, label=name)
        axes.axhline(1, color="#888888", linewidth=1)
        axes.axhline(SOLVED, color="#888888", linewidth=1, linestyle=":")
        axes.set_xscale("log", base=2)
        ticks = list(next(iter(by_name.values())))
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xlabel(_AXIS[kind])
        axes.set_ylabel("error, share of chance")
        axes.set_ylim(0, 1.2)
        axes.set_title(kind)
    panels[0].legend()
    _save(chart, path)


def draw_gradients(path: Path, panels: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """The norm of the gradient by how many steps it has travelled back, a panel for each set of networks."""
    chart, axes_of = _chart(path, len(panels))
    for axes, (title, curves) in zip(axes_of, panels.items(), strict=True):
        for (name, norms), colour in zip(curves.items(), _COLOURS, strict=False):
            axes.plot(range(len(norms)), [max(norm, _SMALLEST) for norm in norms], color=colour, label=name)
        axes.set_yscale("log")
        axes.set_ylim(_SMALLEST, 1e7)
        axes.set_xlabel("steps back in time")
        axes.set_ylabel("norm of the gradient by the state")
        axes.set_title(title)
        axes.legend(loc="lower left" if title != "untrained" else "upper right", fontsize=8)
    _save(chart, path)


def _chart(path: Path, panels: int) -> tuple[Any, Sequence[Axes]]:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    # Without this every run would change every line of the file.
    matplotlib.rcParams["svg.hashsalt"] = path.stem
    chart, found = pyplot.subplots(
        1, panels, figsize=(4.6 * panels, 4.0), layout="constrained", squeeze=False
    )
    return chart, list(found[0])


def _save(chart: Any, path: Path) -> None:
    from matplotlib import pyplot

    chart.savefig(path, metadata={"Date": None})
    pyplot.close(chart)
