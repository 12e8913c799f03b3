"""The engine alone, without edge: texts of the most likely token, and blocks of one step.

    python -m benchmarks.engine [--seconds 1] [--rounds 3] [--hidden 64,256,512] [--cells lstm,gru]

LSTM and GRU of two layers, batch 1, 64 and 256, against the raw loop of the same graph: one session with
one thread, run and argmax. Engine and raw loop take turns within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uvloop

from app.bundle.reader import Bundle, read_bundle
from app.core.limits import Limits
from app.core.ports import Submitter
from app.core.sequence import BlockRequest, Failed, Feedback, Finished, Read, Sampling, SequenceRequest
from app.engine.load import TickStats
from app.registered import TASKS
from app.registry.loading import load_bundle
from app.runtime.lanes import Lanes
from app.tasks.task import Tasks
from benchmarks import bundle as bundles
from benchmarks import step_work as work
from benchmarks.report import Figure, against, plain, publish

BATCHES = (1, 64, 256)
_TOKENS = 200
_DEADLINE_S = 120.0


@dataclass(slots=True)
class Results:
    """Rounds of steps a second, by (cell, hidden, batch, what)."""

    rounds: dict[tuple[str, int, int, str], list[float]] = field(default_factory=dict)

    def add(self, cell: str, hidden: int, batch: int, what: str, rate: float) -> None:
        """One round's rate."""
        self.rounds.setdefault((cell, hidden, batch, what), []).append(rate)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hidden", default="64,256,512")
    parser.add_argument("--cells", default="lstm,gru")
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)))
    options = parser.parse_args()
    results = uvloop.run(measure(options))
    notes = {
        "options": vars(options),
        "rounds": {" ".join(map(str, key)): values for key, values in results.rounds.items()},
    }
    publish("engine", figures(results), notes)


async def measure(options: argparse.Namespace) -> Results:
    """All rounds of all networks."""
    results = Results()
    batches = [int(batch) for batch in options.batches.split(",")]
    with tempfile.TemporaryDirectory() as name:
        for cell in options.cells.split(","):
            for hidden in map(int, options.hidden.split(",")):
                title = f"{cell}{hidden}"
                folder = bundles.write_bundle(Path(name), hidden=hidden, cell=cell, name=title)
                await _network(results, folder, cell, hidden, batches, options)
                print(f"  {title} done", flush=True)
    return results


async def _network(
    results: Results, folder: Path, cell: str, hidden: int, batches: list[int], options: argparse.Namespace
) -> None:
    bundle = read_bundle(folder)
    # As the server does: one lane for each core.
    engine = load_bundle(folder, "cpu", Limits(), Tasks(TASKS), _silent, Lanes(os.cpu_count() or 1)).engine
    engine.start(asyncio.get_running_loop())
    try:
        for _ in range(options.rounds):
            for batch in batches:
                lanes = min(batch, os.cpu_count() or 1)
                results.add(cell, hidden, batch, "raw", work.raw(bundle, batch, options.seconds))
                results.add(cell, hidden, batch, "texts", await texts(engine, batch, options.seconds))
                results.add(
                    cell, hidden, batch, "blocks", await blocks(engine, bundle, batch, options.seconds)
                )
                if lanes > 1:
                    rate = work.raw(bundle, batch // lanes, options.seconds, lanes)
                    results.add(cell, hidden, batch, "raw, all cores", rate)
    finally:
        await asyncio.to_thread(engine.close)


def _silent(model: str) -> Callable[[TickStats], None]:
    return lambda stats: None


async def texts(engine: Submitter, batch: int, seconds: float) -> float:
    """Tokens a second of texts that advance together, each the most likely one.

    Raises:
        RuntimeError: a text failed.
    """
    feedback = Feedback(_TOKENS, Sampling(temperature=0.0))
    total = 0
    started = time.perf_counter()
    while time.perf_counter() < started + seconds:
        requests = [SequenceRequest(np.array([5], np.int64), feedback=feedback) for _ in range(batch)]
        ticket = engine.submit(requests, time.monotonic() + _DEADLINE_S)
        left = batch
        while left:
            for _, event in await ticket.events():
                if isinstance(event, Finished):
                    left -= 1
                    total += event.usage.produced
                elif isinstance(event, Failed):
                    raise RuntimeError(str(event.error))
    return total / (time.perf_counter() - started)


async def blocks(engine: Submitter, bundle: Bundle, batch: int, seconds: float) -> float:
    """Steps a second of blocks of one step each, rows handed in and out, as sessions do.

    Raises:
        RuntimeError: a row failed.
    """
    rows = np.repeat(bundle.start[None], batch, axis=0)
    tokens = np.full((batch, 1), 5, np.int64)
    total = 0
    started = time.perf_counter()
    while time.perf_counter() < started + seconds:
        request = BlockRequest(tokens, Read.LAST, starts=rows)
        result = await engine.submit_block(request, time.monotonic() + _DEADLINE_S)
        if result.errors:
            raise RuntimeError(str(result.errors))
        rows = np.array(result.rows)
        tokens = result.outputs[0][:, -1].argmax(axis=1)[:, None]
        total += batch
    return total / (time.perf_counter() - started)


def figures(results: Results) -> list[Figure]:
    """The engine's rates against the raw loop's."""
    found: list[Figure] = []
    for (cell, hidden, batch, what), rates in results.rounds.items():
        title = f"{cell.upper()} of {hidden}, batch {batch}"
        raw = results.rounds[(cell, hidden, batch, "raw")]
        if what == "raw":
            found.append(plain(f"raw loop, {title}", rates, "steps/s", group=title))
        elif what == "raw, all cores":
            found.append(plain(f"raw loops on all cores, {title}", rates, "steps/s", group=title))
        elif batch > 1:
            least = 0.9 if what == "texts" else None
            found.append(
                against(f"{what}, {title}", rates, raw, "steps/s", "raw loop", least=least, group=title)
            )
        else:
            above = [1e6 / mine - 1e6 / floor for mine, floor in zip(rates, raw, strict=True)]
            most = 40.0 if what == "texts" else None
            found.append(plain(f"{what} above the raw step, {title}", above, "us", most=most, group=title))
    return found


if __name__ == "__main__":
    main()
