"""Beam searches of the engine, without edge, beside a bare loop of the same graph.

    python -m benchmarks.beams [--seconds 2] [--rounds 3] [--width 4] [--vocabulary 6000]

A GRU of two layers of 384 over an embedding of 256; each search takes exactly twenty steps. The bare loop
runs the graph for as many rows and steps, and neither looks at the logits nor moves a row. The second loop
searches as well, in the plainest NumPy. One thread each; all take turns within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import uvloop

from app.bundle.manifest import TOKENIZER_FILE
from app.bundle.reader import Bundle, read_bundle
from app.core.beam import BeamRequest
from app.engine.engine import Engine
from app.engine.load import QueueLimits, SchedulerLimits
from app.features.text import TextCodec
from app.runtime.executor import GraphExecutor
from app.runtime.session import GraphSession
from app.tasks.generate.spec import GenerateSpec
from benchmarks.forecast_work import one_thread_session
from benchmarks.report import Figure, against, plain, publish
from training.export import describe_run, export_bundle
from training.generate.net import LanguageModel
from training.token_net import TokenNetConfig
from training.tokenizers import character_tokenizer

SEARCHES = (1, 16, 64)
LEAST = 0.6
_STEPS = 20
_FIRST_LETTER = 0x4E00


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=6000)
    options = parser.parse_args()
    rounds: dict[tuple[int, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        bundle = read_bundle(write_bundle(Path(name), options.vocabulary))
        for _ in range(options.rounds):
            for num in SEARCHES:
                for what, rate in (
                    ("graph", raw(bundle, num, options.width, options.seconds, searching=False)),
                    ("plain", raw(bundle, num, options.width, options.seconds, searching=True)),
                    ("engine", uvloop.run(engine(bundle, num, options.width, options.seconds))),
                ):
                    rounds.setdefault((num, what), []).append(rate)
    notes = {
        "options": vars(options),
        "rounds": {f"{num} {what}": each for (num, what), each in rounds.items()},
    }
    publish("beams", figures(rounds, options.width), notes)


def write_bundle(models: Path, vocabulary: int) -> Path:
    """An untrained network of so many tokens; its weights do not matter."""
    torch.manual_seed(0)
    tokenizer = character_tokenizer(["".join(chr(_FIRST_LETTER + code) for code in range(vocabulary))])
    size = TextCodec(tokenizer).size
    net = LanguageModel(TokenNetConfig(size, cell="gru", hidden=384, layers=2, embedding=256))
    return export_bundle(
        net,
        out=models,
        name="beams",
        version="1",
        description="For measurements.",
        spec=GenerateSpec(vocabulary=size, unit="character", start_token=1),
        provenance=describe_run("benchmarks.beams", 0),
        files={TOKENIZER_FILE: tokenizer.encode()},
    )


def raw(bundle: Bundle, num: int, width: int, seconds: float, *, searching: bool) -> float:
    """Searches a second of a bare loop, ``num`` of them at once in one run."""
    session = one_thread_session(bundle.graph)
    name, head = bundle.manifest.graph.input.name, np.zeros(1, np.int64)
    first = np.arange(0, num * width, width)[:, None]
    done = 0
    started = time.perf_counter()
    while time.perf_counter() < started + seconds:
        rows = np.repeat(bundle.start[None], num * width, axis=0)
        tokens = np.full(num * width, 5, np.int64)
        totals = np.zeros((num, width, 1))
        for _ in range(_STEPS):
            feeds = {name: tokens[:, None], "state": rows, "head_from": head}
            logits, rows = session.run(["logits", "state_out"], feeds)
            if searching:
                last = logits[:, -1]
                last = last - last.max(axis=1, keepdims=True)
                last -= np.log(np.exp(last).sum(axis=1, keepdims=True))
                sums = (totals + last.reshape(num, width, -1)).reshape(num, -1)
                best = np.argpartition(-sums, width - 1, axis=1)[:, :width]
                totals = np.take_along_axis(sums, best, axis=1)[:, :, None]
                tokens = (best % logits.shape[-1]).ravel()
                rows = rows[(first + best // logits.shape[-1]).ravel()]
        done += num
    return done / (time.perf_counter() - started)


async def engine(bundle: Bundle, num: int, width: int, seconds: float) -> float:
    """Searches a second of so many callers, each of whom asks for the next when one is answered."""
    executor = GraphExecutor(GraphSession(bundle.graph, bundle.manifest), bundle.start, 1)
    running = Engine("beams", executor, SchedulerLimits(), QueueLimits())
    running.start(asyncio.get_running_loop())
    request = BeamRequest(np.array([5]), width, _STEPS)
    started = time.perf_counter()

    async def ask() -> int:
        answered = 0
        while time.perf_counter() < started + seconds:
            await running.submit_beam(request, time.monotonic() + 60)
            answered += 1
        return answered

    try:
        done = sum(await asyncio.gather(*(ask() for _ in range(num))))
        return done / (time.perf_counter() - started)
    finally:
        await asyncio.to_thread(running.close)


def figures(rounds: dict[tuple[int, str], list[float]], width: int) -> list[Figure]:
    """The engine's rates beside those of the two loops."""
    found: list[Figure] = []
    for num in sorted({num for num, _ in rounds}):
        title = f"{num} searches at once, {width} beams"
        graph, ours = rounds[num, "graph"], rounds[num, "engine"]
        found.append(plain(f"runs of the graph alone, {title}", graph, "searches/s", group=title))
        found.append(
            against(f"plain search, {title}", rounds[num, "plain"], graph, "searches/s", "graph", group=title)
        )
        found.append(
            against(f"engine, {title}", ours, graph, "searches/s", "graph", least=LEAST, group=title)
        )
    return found


if __name__ == "__main__":
    main()
