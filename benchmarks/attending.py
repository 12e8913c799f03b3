"""What a decoder that attends to an encoder's output is measured by, beside the two graphs in ONNX Runtime.

The floor runs the graphs over as many inputs at once as there are connections, with no server: an encoder
run, then steps until all have ended, each with the best continuations taken by NumPy.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvloop
from numpy.typing import NDArray
from websockets.asyncio.client import connect

from app.bundle.reader import Bundle, find_bundles, read_bundle, read_manifest
from app.runtime.attended import Attended
from app.runtime.session import EncoderSession, GraphSession
from benchmarks.report import Figure, against, plain, publish
from benchmarks.server import Server
from rnnserve_bench.http_line import HttpLine

_WIDTHS = (1, 4)
_LEAST = 0.6
_MOST = 2.0
_STREAMS = 16
_READERS = 4

_indices = itertools.count()

Inputs = tuple[NDArray[Any], NDArray[np.int64] | None]


@dataclass(frozen=True, slots=True)
class Streamed:
    """A stream on a WebSocket, over and over: its path, and the frame that asks for it."""

    path: str
    frame: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """A bundle, and how it is asked.

    Attributes:
        things: what it answers about, in the plural.
        start: the token before the first one; ``most`` tokens follow unless ``end`` comes.
        inputs: what the encoder reads of things from an index on, so many of them, and their lengths.
        body: a request about the thing of an index, by so many beams. No two are alike: a server remembers
            what its encoder has read.
        stream: what runs while ``reading`` arrives, and is to suffer little.
        reading: a request of an index that costs the encoder much.
    """

    task: str
    things: str
    bundle: Bundle
    start: int
    end: int
    most: int
    inputs: Callable[[int, int], Inputs]
    body: Callable[[int, int], Mapping[str, Any]]
    stream: Streamed
    reading: Callable[[int], Mapping[str, Any]]
    arriving: str


def bundle_of(models: Path, task: str) -> Bundle:
    """The newest one of a task."""
    return read_bundle([path for path in find_bundles(models) if read_manifest(path).task == task][-1])


class Floor:
    """The two graphs, and nothing else."""

    def __init__(self, measured: Measured) -> None:
        bundle = measured.bundle
        assert bundle.encoder is not None
        self._graph = GraphSession(bundle.graph, bundle.manifest)
        self._encoder = EncoderSession(bundle.encoder, bundle.manifest)
        self._measured = measured

    def answer(self, inputs: Inputs, width: int) -> None:
        """Until every thing has its text; ``width`` hypotheses of each advance together."""
        rows, (values,) = self._encoder.run(*inputs)
        lengths = np.full(len(rows), values.shape[1]) if inputs[1] is None else inputs[1]
        members = np.repeat(np.arange(len(rows)), width)
        attended = Attended(values[members], lengths[members])
        fed, scores = np.full((len(members), 1), self._measured.start), _first_scores(len(rows), width)
        ended, rows = np.zeros(len(rows), np.int64), rows[members]
        for _ in range(self._measured.most):
            outputs, rows = self._graph.run(fed, rows, 0, attended)
            fed, parents, scores, over = _continued(outputs[0][:, -1], scores, width, self._measured.end)
            rows = rows[parents]
            ended += over
            if (ended >= width).all():
                return

    def rate(self, count: int, width: int, seconds: float) -> float:
        """Things a second, ``count`` of them in a run."""
        given = [self._measured.inputs(at * count, count) for at in range(max(1, 64 // count))]
        self.answer(given[-1], width)
        began, done = time.perf_counter(), 0
        while (spent := time.perf_counter() - began) < seconds:
            self.answer(given[done // count % len(given)], width)
            done += count
        return done / spent


def _first_scores(count: int, width: int) -> NDArray[np.float64]:
    """All but one of the hypotheses, which are alike at first, are out of the running."""
    return np.where(np.arange(count * width) % width, -np.inf, 0.0)


def _continued(
    logits: NDArray[np.float32], scores: NDArray[np.float64], width: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """The best continuations of each sentence: tokens, rows that they go on from, scores, ends among them."""
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    if width == 1:
        best, rows = logits.argmax(axis=1), np.arange(len(logits))
        return best[:, None], rows, scores + logits[rows, best], (best == end).astype(np.int64)
    ids = np.argpartition(-logits, 2 * width, axis=1)[:, : 2 * width]
    found = np.take_along_axis(logits, ids, axis=1) + scores[:, None]
    table = found.reshape(-1, width * 2 * width)
    order = np.argsort(-table, axis=1)[:, : 2 * width]
    tokens = np.take_along_axis(ids.reshape(table.shape), order, axis=1)
    is_end = tokens == end
    kept = np.argsort(is_end, axis=1, kind="stable")[:, :width]
    first = np.arange(len(table))[:, None] * width
    parents = (first + np.take_along_axis(order, kept, axis=1) // (2 * width)).ravel()
    scores = np.take_along_axis(np.take_along_axis(table, order, axis=1), kept, axis=1).ravel()
    return (
        np.take_along_axis(tokens, kept, axis=1).reshape(-1, 1),
        parents,
        scores,
        is_end[:, :width].sum(axis=1),
    )


def main(about: str | None, find: Callable[[Path], Measured]) -> None:
    """Measure and publish; ``find`` names what is in a models folder.

    Server and floor take turns within seconds, since a machine's speed changes from one minute to the next.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--connections", default="1,64", help="by commas")
    parser.add_argument("--models", type=Path, default=Path("models"))
    options = parser.parse_args()
    measured, connected = find(options.models), list(map(int, options.connections.split(",")))
    floor = Floor(measured)
    rounds: dict[str, list[float]] = {}
    flags = {"load": "on-demand", "preload": measured.bundle.manifest.reference}
    with Server(options.models, sessions="off", log_level="warning", **flags) as server:
        for _ in range(options.rounds):
            for connections in connected:
                for width in _WIDTHS:
                    name = f"{connections} {width}"
                    served = uvloop.run(_load(server.url, measured, connections, width, options.seconds))
                    rounds.setdefault(f"served {name}", []).append(served)
                    raw = floor.rate(connections, width, options.seconds)
                    rounds.setdefault(f"raw {name}", []).append(raw)
            for busy in (False, True):
                gap = uvloop.run(_gaps(server, measured, options.seconds, busy=busy))
                rounds.setdefault(f"gap {busy}", []).append(gap)
    notes = {"options": {**vars(options), "models": "models"}, "rounds": rounds}
    publish(measured.task, _figures(rounds, measured, connected), notes)


def _figures(rounds: Mapping[str, list[float]], measured: Measured, connected: Sequence[int]) -> list[Figure]:
    figures = []
    for connections in connected:
        for width in _WIDTHS:
            name = f"{connections} {width}"
            what = "greedy" if width == 1 else f"{width} beams"
            title = f"{what}, {connections} connection{'s' if connections > 1 else ''}"
            served, raw = rounds[f"served {name}"], rounds[f"raw {name}"]
            unit = f"{measured.things}/s"
            figures.append(against(title, served, raw, unit, "the raw loop", least=_LEAST))
    alone, beside = rounds["gap False"], rounds["gap True"]
    title = f"the same while {measured.arriving} arrive"
    return [
        *figures,
        plain(f"time between frames of {_STREAMS} streams, p99", alone, "ms"),
        against(title, beside, alone, "ms", "without", most=_MOST),
    ]


async def _load(url: str, measured: Measured, connections: int, width: int, seconds: float) -> float:
    """Things a second of clients that ask again as soon as they are answered."""
    until = time.perf_counter() + seconds

    async def ask() -> int:
        line, done = HttpLine(url), 0
        while time.perf_counter() < until:
            await _post(line, measured, measured.body(next(_indices), width))
            done += 1
        line.close()
        return done

    began = time.perf_counter()
    done = sum(await asyncio.gather(*(ask() for _ in range(connections))))
    return done / (time.perf_counter() - began)


async def _post(line: HttpLine, measured: Measured, body: Mapping[str, Any]) -> None:
    status, answer = await line.ask("POST", f"/{measured.task}", orjson.dumps(body))
    assert status == 200, answer


async def _gaps(server: Server, measured: Measured, seconds: float, *, busy: bool) -> float:
    """99th percentile of the milliseconds between frames, beside work of the encoder or not."""
    found: list[float] = []
    until = time.perf_counter() + seconds

    async def stream() -> None:
        async with connect(f"{server.websocket}{measured.stream.path}", compression=None) as socket:
            while not found or time.perf_counter() < until:
                await socket.send(orjson.dumps(measured.stream.frame).decode())
                last = None
                async for message in socket:
                    now = time.perf_counter()
                    if last is not None:
                        found.append(now - last)
                    last = now
                    if orjson.loads(message)["type"] != "token":
                        break

    async def read() -> None:
        line = HttpLine(server.url)
        while time.perf_counter() < until:
            await _post(line, measured, measured.reading(next(_indices)))
        line.close()

    readers = _READERS if busy else 0
    await asyncio.gather(*(stream() for _ in range(_STREAMS)), *(read() for _ in range(readers)))
    return float(np.percentile(found, 99)) * 1000
