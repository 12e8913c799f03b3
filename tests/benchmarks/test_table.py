"""The tables of docs/performance.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.report import Figure, machine
from benchmarks.table import BEGIN, END, page, replace

PAGE = Path(__file__).parent.parent.parent / "docs" / "performance.md"


def write(folder: Path, benchmark: str, run: str, figures: list[Figure], notes: Mapping[str, object]) -> None:
    """Results of a benchmark."""
    document = {
        "benchmark": benchmark,
        "run": run,
        "command": f"python -m benchmarks.{benchmark}",
        "notes": dict(notes),
        "figures": [asdict(one) | {"aim": one.aim, "met": one.met} for one in figures],
    }
    (folder / f"{benchmark}.json").write_text(json.dumps(document))


def results(folder: Path, run: str = "2026-01-02T03:04:05Z") -> Path:
    """One run of two benchmarks, with a peer that was not there."""
    measures = [
        {"subject": name, "connections": number, "per_s": 100.0 * number, "p50_ms": 1.0, "p99_ms": 2.0,
         "cpu_s_per_1000": 0.5}
        for name in ("rnnserve", "Mosec")
        for number in (1, 64)
        for _ in range(3)
    ]  # fmt: skip
    forecast = [
        Figure("rnnserve, 64 connections", 6400, "requests/s"),
        Figure("rnnserve, 64 connections", 6400, "requests/s", 1.0, "Mosec", least=1.5, group="64"),
    ]
    notes = {
        "measures": measures,
        "raw": {"1": [1700.0]},
        "not measured": {"Ray Serve": "not installed"},
        "setups": {"Mosec": "2 workers", "Ray Serve": "1 worker"},
    }
    write(folder, "forecast", run, forecast, notes)
    write(folder, "scaling", run, [Figure("cold start", 1.5, "s", most=2.5)], {})
    document = {
        "run": "2026-01-02T03:04:05Z",
        "command": "python -m benchmarks.all",
        "seconds": 1200,
        "machine": machine(),
        "parts": [{"name": "forecast"}, {"name": "scaling"}],
    }
    (folder / "run.json").write_text(json.dumps(document))
    return folder


def test_the_page_has_every_figure_and_says_what_falls_short(tmp_path: Path) -> None:
    """Targets beside the figures; what was missed is listed first, what was not measured is named."""
    text = "\n".join(page(results(tmp_path)))
    assert "1 of 2 targets reached." in text
    assert "| forecast: rnnserve, 64 connections, of Mosec | 1.00 | at least 1.5 |" in text
    assert "| cold start | 1.5 s |  | at most 2.5 | reached |" in text
    assert "| Mosec | 100 | 1.00 | 2.00 | 6,400 | 1.00 | 2.00 | 0.50 |" in text
    assert "Not measured: Ray Serve (not installed)." in text
    assert "Set up: Mosec: 2 workers." in text
    assert "of 2026-01-02, `python -m benchmarks.all`, 20 minutes" in text


def test_results_of_two_runs_are_not_mixed(tmp_path: Path) -> None:
    """A table is of one run."""
    results(tmp_path)
    write(tmp_path, "scaling", "another", [], {})
    with pytest.raises(ValueError, match="not of the run 2026-01-02T03:04:05Z: scaling"):
        list(page(tmp_path))


def test_only_what_is_between_the_marks_is_replaced() -> None:
    """The text around it is written by hand."""
    old = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replace(old, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert replace(replace(old, "new"), "new") == replace(old, "new")
    with pytest.raises(ValueError, match="the page has no"):
        replace("nothing", "new")


def test_the_page_of_the_documentation_has_the_marks() -> None:
    """Else `make bench` would end without its table."""
    assert BEGIN in PAGE.read_text()
    assert END in PAGE.read_text()
