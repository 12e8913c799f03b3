"""How far back recurrent networks learn to remember, and what becomes of gradients on the way.

    python -m benchmarks.memory_span [--docs]

The adding and the copy problem by length (benchmarks/memory_problems.py) for a vanilla network, an LSTM and a
GRU of equal width, on one core; then the gradient of the error at the last step by the state after each step,
for untrained networks, trained ones, and vanilla ones whose recurrent weights are scaled. Two pictures in
benchmarks/results/; ``--docs`` writes the tables into docs/long-memory.md.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.memory_pictures import draw_gradients, draw_learned
from benchmarks.memory_problems import (
    NETWORKS,
    ORTHOGONAL,
    Name,
    Outcome,
    Problem,
    Reader,
    gradient_norms,
    problem,
    train,
)
from benchmarks.report import RESULTS, Figure, publish

DOCS = Path(__file__).parent.parent / "docs/long-memory.md"
SCALES = (0.9, 1.0, 1.1, 1.25, 1.5)
# Gates stand a higher rate, and need it to get through in few updates.
_RATES = {"rnn": 2e-3, "lstm": 5e-3, "gru": 5e-3}
_CLIP = 1.0
_SEQUENCES = 64

Outcomes = dict[Name, dict[str, dict[int, Outcome]]]
"""By problem, network and length."""
Curves = dict[str, list[float]]
"""Gradient norms by name, the last step first."""


@dataclass(slots=True)
class Measured:
    """Everything that one run finds."""

    outcomes: Outcomes = field(default_factory=dict)
    untrained: Curves = field(default_factory=dict)
    trained: Curves = field(default_factory=dict)
    scaled: Curves = field(default_factory=dict)
    unclipped: dict[str, Outcome] = field(default_factory=dict)


def main() -> None:
    """Train, print, draw, and record the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--adding", default="25,50,100,200", help="lengths, by commas")
    parser.add_argument("--copy", default="5,10,20,40,80", help="blanks, by commas")
    parser.add_argument("--updates", type=int, default=4000, help="at most, of 32 sequences each")
    parser.add_argument("--hidden", type=int, default=64, help="units")
    parser.add_argument("--travel", type=int, default=200, help="steps that gradients travel back")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/long-memory.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    lengths: dict[Name, list[int]] = {
        "adding": [int(one) for one in options.adding.split(",")],
        "copy": [int(one) for one in options.copy.split(",")],
    }
    found = measure(lengths, options.updates, options.hidden, options.travel, options.seed)
    RESULTS.mkdir(parents=True, exist_ok=True)
    draw_learned(RESULTS / "memory_span-learned.svg", found.outcomes)
    draw_gradients(
        RESULTS / "memory_span-gradients.svg",
        {
            "untrained": found.untrained,
            f"trained to add {max(lengths['adding'])} numbers": found.trained,
            "orthogonal weights, scaled": found.scaled,
        },
    )
    notes = {
        "hidden": options.hidden,
        "updates": options.updates,
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "parameters": {name: _parameters(name, options.hidden) for name in NETWORKS},
        "curves": {
            kind: {
                name: {length: one.curve for length, one in each.items()} for name, each in by_name.items()
            }
            for kind, by_name in found.outcomes.items()
        },
    }
    publish("memory_span", figures(found), notes)
    if options.docs:
        page = DOCS.read_text()
        for mark, text in tables(found).items():
            marked = re.compile(rf"(<!-- {mark}: .*?-->\n).*?(<!-- end of {mark} -->)", re.DOTALL)
            page = marked.sub(rf"\g<1>{text}\n\g<2>", page)
        DOCS.write_text(page)


def measure(
    lengths: Mapping[Name, Sequence[int]], updates: int, hidden: int, travel: int, seed: int
) -> Measured:
    """Train each network on each problem at each length, and follow gradients back ``travel`` steps."""
    found = Measured()
    for kind, each in lengths.items():
        by_name = found.outcomes.setdefault(kind, {})
        for name in NETWORKS:
            for length in each:
                net, asked = _new(name, kind, length, hidden, seed)
                by_name.setdefault(name, {})[length] = _trained(net, asked, updates, _CLIP, seed)
                if kind == "adding" and length == max(each):
                    _, far = _new(name, kind, travel, hidden, seed)
                    found.trained[name] = gradient_norms(net, far, _SEQUENCES, seed)
    for name in NETWORKS:
        net, asked = _new(name, "adding", travel, hidden, seed)
        found.untrained[name] = gradient_norms(net, asked, _SEQUENCES, seed)
    for scale in SCALES:
        net, asked = _new(ORTHOGONAL, "adding", travel, hidden, seed)
        net.recurrent_weights.mul_(scale)
        found.scaled[f"x {scale:g}"] = gradient_norms(net, asked, _SEQUENCES, seed)
    # Weights that are too large at the start: with the gradient cut to length, and as it is.
    for clip in (_CLIP, float("inf")):
        net, asked = _new(ORTHOGONAL, "adding", min(lengths["adding"]), hidden, seed)
        net.recurrent_weights.mul_(SCALES[-1])
        found.unclipped[f"{clip:g}"] = _trained(net, asked, updates, clip, seed)
    return found


def _new(name: str, kind: Name, length: int, hidden: int, seed: int) -> tuple[Reader, Problem]:
    torch.manual_seed(seed)
    asked = problem(kind, length)
    return Reader(name, asked, hidden), asked


def _trained(net: Reader, asked: Problem, updates: int, clip: float, seed: int) -> Outcome:
    cell = net.recurrent.cell

    def tell(line: str) -> None:
        print(f"\r{cell}, {line:70}", end="", flush=True)

    return train(net, asked, updates=updates, rate=_RATES[cell], clip=clip, seed=seed, tell=tell)


def figures(found: Measured) -> list[Figure]:
    """Errors, updates, and gradients that have travelled back all of the way."""
    made = []
    for kind, by_name in found.outcomes.items():
        for name, each in by_name.items():
            for length, one in each.items():
                made.append(Figure(f"{kind} {length}, {name}, error", one.error, "of chance", group=kind))
                made.append(Figure(f"{kind} {length}, {name}, updates", one.updates, "updates", group=kind))
    for group in ("untrained", "trained", "scaled"):
        for name, norms in getattr(found, group).items():
            # Weights move a gradient by a factor at each step: the mean one, from the last step to the first.
            factor = (norms[-1] / norms[0]) ** (1 / (len(norms) - 1))
            made.append(Figure(f"{group}, {name}, factor a step", factor, "", group=group))
            made.append(
                Figure(f"{group}, {name}, first step", norms[-1] / norms[0], "of the last", group=group)
            )
    for clip, one in found.unclipped.items():
        made.append(Figure(f"clipped to {clip}, error", one.error, "of chance", group="clipped"))
        made.append(Figure(f"clipped to {clip}, longest gradient", one.largest, "", group="clipped"))
    return made


def tables(found: Measured) -> dict[str, str]:
    """Markdown by the name of its place in the page."""
    made: dict[str, str] = {}
    for kind, by_name in found.outcomes.items():
        lengths = list(next(iter(by_name.values())))
        lines = [f"| | {' | '.join(map(str, lengths))} |", "|---" + "|---:" * len(lengths) + "|"]
        lines += [
            f"| {name} | {' | '.join(_cell(one) for one in each.values())} |"
            for name, each in by_name.items()
        ]
        made[kind] = "\n".join(lines)
    lines = ["| | untrained | trained |", "|---|---:|---:|"]
    for name in NETWORKS:
        lines.append(f"| {name} | {_left(found.untrained[name])} | {_left(found.trained[name])} |")
    lines += [
        f"| RNN, orthogonal, weights {name} | {_left(norms)} | |" for name, norms in found.scaled.items()
    ]
    made["gradients"] = "\n".join(lines)
    lines = ["| gradient | error, share of chance | updates | longest gradient |", "|---|---:|---:|---:|"]
    for clip, one in found.unclipped.items():
        how = "as it is" if clip == "inf" else f"cut to a length of {clip}"
        lines.append(f"| {how} | {one.error:.2f} | {one.updates:,} | {one.largest:.3g} |")
    made["clipping"] = "\n".join(lines)
    return made


def _cell(one: Outcome) -> str:
    return f"**{one.updates:,}**" if one.solved else f"{one.error:.2f}"


def _left(norms: Sequence[float]) -> str:
    """What is left of a gradient at the first step."""
    return f"{norms[-1] / norms[0]:.1e}"


def _parameters(name: str, hidden: int) -> int:
    return sum(one.numel() for one in Reader(name, problem("adding", 2), hidden).parameters())


if __name__ == "__main__":
    main()
