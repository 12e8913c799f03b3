"""The problems of docs/long-memory.md, gradients as theory has them, and the page as it was recorded."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.memory_problems import (
    NETWORKS,
    ORTHOGONAL,
    SHOWN,
    SYMBOLS,
    Reader,
    gradient_norms,
    problem,
    train,
)

ROOT = Path(__file__).parent.parent.parent
RECORDED = ROOT / "benchmarks/results/memory_span.json"


def test_adding_asks_for_the_sum_of_two_marked_numbers() -> None:
    """One in each half; whoever says 1 has the error that is called chance."""
    asked = problem("adding", 20)
    x, target = asked.batch(4000, np.random.default_rng(0))
    numbers, marks = x.unbind(dim=2)
    assert torch.allclose((numbers * marks).sum(dim=1), target)
    assert marks[:, :10].sum(dim=1).eq(1).all()
    assert marks[:, 10:].sum(dim=1).eq(1).all()
    ones = torch.ones(4000, 1, 1)
    assert float(asked.error(ones, target)) == pytest.approx(asked.chance, rel=0.1)


def test_copy_asks_for_the_symbols_after_the_blanks() -> None:
    """In their order, one at each signal; whoever finds all alike has the error that is called chance."""
    asked = problem("copy", 7)
    x, target = asked.batch(50, np.random.default_rng(0))
    assert x.shape == (50, SHOWN + 7 + SHOWN, SYMBOLS + 2)
    assert torch.equal(x[:, :SHOWN].argmax(dim=2), target)
    assert x[:, SHOWN : SHOWN + 7].argmax(dim=2).eq(SYMBOLS).all()
    assert x[:, SHOWN + 7 :].argmax(dim=2).eq(SYMBOLS + 1).all()
    assert float(asked.error(torch.zeros(50, SHOWN, SYMBOLS), target)) == pytest.approx(math.log(SYMBOLS))
    right = torch.nn.functional.one_hot(target, SYMBOLS).float() * 50
    assert float(asked.error(right, target)) < 1e-6


@pytest.mark.parametrize(("scale", "factor"), [(0.5, 0.5), (1.0, 1.0), (1.2, 1.2)])
def test_gradients_shrink_and_grow_by_the_scale_of_the_weights(scale: float, factor: float) -> None:
    """Near zero tanh is a line, so that orthogonal weights change a gradient by their scale at each step."""
    torch.manual_seed(0)
    asked = problem("adding", 12)
    net = Reader(ORTHOGONAL, asked, 16)
    net.recurrent_weights.mul_(scale)
    for name, weight in net.recurrent.named_parameters():
        if "hh" not in name or "bias" in name:
            weight.data.mul_(1e-6)
    norms = gradient_norms(net, asked, 4, seed=0)
    ratios = [later / earlier for earlier, later in pairwise(norms)]
    assert ratios == pytest.approx([factor] * 10, rel=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_short_problem_is_learned(name: str) -> None:
    """Better than chance after some updates; training stops when it is solved."""
    torch.manual_seed(0)
    asked = problem("copy", 1)
    net = Reader(name, asked, 32)
    done = train(net, asked, updates=600, rate=5e-3, clip=1.0, seed=0, tell=lambda line: None)
    assert done.error < 0.7
    assert done.curve[-1] == done.error
    assert done.solved == (done.updates < 600 or done.error < 0.05)
    assert done.largest > 0


def test_the_command_writes_figures_and_both_pictures(tmp_path: Path) -> None:
    """As short as it gets."""
    words = "--adding 4 --copy 2 --updates 20 --hidden 8 --travel 6"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory_span", *words.split()],
        cwd=ROOT,
        env={**os.environ, "BENCHMARK_RESULTS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "memory_span.json").read_text())["figures"]
    names = {figure["name"] for figure in figures}
    assert {f"copy 2, {name}, error" for name in NETWORKS} <= names
    assert "untrained, LSTM, factor a step" in names
    for picture in ("memory_span-learned.svg", "memory_span-gradients.svg"):
        assert (tmp_path / picture).read_text().startswith("<?xml")


def test_the_page_shows_what_was_recorded() -> None:
    """Every solved problem with its updates, every other with its error."""
    page = (ROOT / "docs/long-memory.md").read_text()
    figures = {figure["name"]: figure["value"] for figure in json.loads(RECORDED.read_text())["figures"]}
    for kind in ("adding", "copy"):
        table = page.partition(f"<!-- {kind}: ")[2].partition(f"<!-- end of {kind} -->")[0]
        rows = {cells[1]: cells[2:-1] for line in table.splitlines() if len(cells := _cells(line)) > 2}
        for name in NETWORKS:
            for length, shown in zip(rows[""], rows[name], strict=True):
                error = figures[f"{kind} {length}, {name}, error"]
                updates = figures[f"{kind} {length}, {name}, updates"]
                assert shown == (f"**{updates:,.0f}**" if error < 0.05 else f"{error:.2f}")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")]
