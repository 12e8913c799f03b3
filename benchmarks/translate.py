"""Sentences a second, greedy and by four beams, beside the same search in raw ONNX Runtime.

    python -m benchmarks.translate [--seconds 4] [--rounds 3] [--models models]

Sentences of the bundle's own words, of ordinary lengths. The floor runs the two graphs over as many sentences
at once as there are connections, with no server: an encoder run, then steps until all have ended, each with
the best continuations taken by NumPy. Beside it: what long sources that arrive cost the streams that run.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import httpx2
import numpy as np
import orjson
from numpy.typing import NDArray
from websockets.asyncio.client import connect

from app.bundle.reader import Bundle, find_bundles, read_bundle, read_manifest
from app.features.text import TextCodec
from app.runtime.attended import Attended
from app.runtime.session import EncoderSession, GraphSession
from app.tasks.translate.spec import TranslateSpec
from benchmarks.report import Figure, publish
from benchmarks.server import Server

_CONNECTIONS = (1, 64)
_WIDTHS = (1, 4)
_LEAST = 0.6
_MOST = 2.0
_STREAMS = 16
_SENTENCES = (
    "A man in a red jacket rides a bicycle.",
    "Two dogs are playing in the snow.",
    "A little girl in a pink dress is climbing a set of stairs.",
    "Several people are standing in front of a large building.",
    "A young woman is reading a book on a bench in the park.",
    "The boy jumps into the water while his friends watch him from the shore.",
    "Three children are sitting at a table and eating.",
    "An old man with a white beard is playing the guitar on the street.",
)
_LONG = " and ".join(sentence[:-1].lower() for sentence in _SENTENCES)


class Floor:
    """The two graphs, and nothing else."""

    def __init__(self, bundle: Bundle) -> None:
        spec = bundle.manifest.spec_as(TranslateSpec)
        assert bundle.encoder is not None
        assert bundle.tokenizer is not None
        self._graph = GraphSession(bundle.graph, bundle.manifest)
        self._encoder = EncoderSession(bundle.encoder, bundle.manifest)
        self._codec, self._end, self._start = TextCodec(bundle.tokenizer), spec.end_token, spec.start("de")

    def translate(self, texts: Sequence[str], width: int) -> None:
        """Until every sentence has ended; ``width`` hypotheses of each advance together."""
        sources = [[*self._codec.encode(text), self._end] for text in texts]
        lengths = np.array([len(source) for source in sources])
        tokens = np.zeros((len(sources), lengths.max()), np.int64)
        for row, source in enumerate(sources):
            tokens[row, : len(source)] = source
        rows, (values,) = self._encoder.run(tokens, lengths)
        members = np.repeat(np.arange(len(sources)), width)
        attended = Attended(values[members], lengths[members])
        rows, fed = rows[members], np.full((len(members), 1), self._start)
        scores = np.where(np.arange(len(members)) % width, -np.inf, 0.0)
        ended = np.zeros(len(sources), np.int64)
        for _ in range(2 * int(lengths.max())):
            outputs, rows = self._graph.run(fed, rows, 0, attended)
            fed, parents, scores, over = _continued(outputs[0][:, -1], scores, width, self._end)
            rows = rows[parents]
            ended += over
            if (ended >= width).all():
                return


def _continued(
    logits: NDArray[np.float32], scores: NDArray[np.float64], width: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """The best continuations of each sentence: tokens, rows that they go on from, scores, ends among them."""
    if width == 1:
        best = logits.argmax(axis=1)
        return best[:, None], np.arange(len(best)), scores, (best == end).astype(np.int64)
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
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


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", type=Path, default=Path("models"))
    options = parser.parse_args()
    folders = [path for path in find_bundles(options.models) if read_manifest(path).task == "translate"]
    floor = Floor(read_bundle(folders[-1]))
    rounds: dict[str, list[float]] = {}
    with Server(options.models, sessions="off", log_level="warning") as server:
        for _ in range(options.rounds):
            for connections in _CONNECTIONS:
                for width in _WIDTHS:
                    name = f"{connections} {width}"
                    served = asyncio.run(load(server.url, connections, width, options.seconds))
                    rounds.setdefault(f"served {name}", []).append(served)
                    rounds.setdefault(f"raw {name}", []).append(
                        raw(floor, connections, width, options.seconds)
                    )
            for busy in (False, True):
                gap = asyncio.run(gaps(server, options.seconds, busy=busy))
                rounds.setdefault(f"gap {busy}", []).append(gap)
    middle = {name: statistics.median(values) for name, values in rounds.items()}
    figures = []
    for connections in _CONNECTIONS:
        for width in _WIDTHS:
            name = f"{connections} {width}"
            what = "greedy" if width == 1 else f"{width} beams"
            ratio = middle[f"served {name}"] / middle[f"raw {name}"]
            figures.append(
                Figure(
                    f"{what}, {connections} connection{'s' if connections > 1 else ''}",
                    middle[f"served {name}"],
                    "sentences/s",
                    ratio,
                    "the raw loop",
                    target=f"at least {_LEAST:g}",
                    least=_LEAST,
                )
            )
    ratio = middle["gap True"] / middle["gap False"]
    figures += [
        Figure(f"time between frames of {_STREAMS} streams, p99", middle["gap False"], "ms"),
        Figure(
            "the same while long sources arrive",
            middle["gap True"],
            "ms",
            ratio,
            "without",
            target=f"at most {_MOST:g} x",
        ),
    ]
    publish("translate", figures, {"options": {**vars(options), "models": "models"}, "rounds": rounds})


def raw(floor: Floor, sentences: int, width: int, seconds: float) -> float:
    """Sentences a second."""
    texts = [_SENTENCES[at % len(_SENTENCES)] for at in range(sentences)]
    floor.translate(texts, width)
    began, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds:
        given = texts if sentences > 1 else [_SENTENCES[done % len(_SENTENCES)]]
        floor.translate(given, width)
        done += sentences
    return done / spent


async def load(url: str, connections: int, width: int, seconds: float) -> float:
    """Sentences a second of clients that ask again as soon as they are answered."""
    done = 0
    until = time.perf_counter() + seconds
    async with httpx2.AsyncClient(base_url=url, limits=httpx2.Limits(max_connections=connections)) as client:

        async def ask(index: int) -> None:
            nonlocal done
            while time.perf_counter() < until:
                text = _SENTENCES[(index + done) % len(_SENTENCES)]
                body = {"text": text, "source": "en", "target": "de", "beams": width}
                answer = await client.post(
                    "/translate", content=orjson.dumps(body), headers={"content-type": "application/json"}
                )
                answer.raise_for_status()
                done += 1

        began = time.perf_counter()
        await asyncio.gather(*(ask(index) for index in range(connections)))
        return done / (time.perf_counter() - began)


async def gaps(server: Server, seconds: float, *, busy: bool) -> float:
    """99th percentile of the milliseconds between frames, with long sources beside the streams or without."""
    found: list[float] = []
    until = time.perf_counter() + seconds

    async def stream() -> None:
        async with connect(f"{server.websocket}/translate", compression=None) as socket:
            while not found or time.perf_counter() < until:
                await socket.send(orjson.dumps({"text": _LONG, "source": "en", "target": "de"}).decode())
                last = None
                async for message in socket:
                    now = time.perf_counter()
                    if last is not None:
                        found.append(now - last)
                    last = now
                    if orjson.loads(message)["type"] != "token":
                        break

    async def read() -> None:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            while time.perf_counter() < until:
                body = {"text": [_LONG] * 4, "source": "en", "beams": 1, "max_tokens": 1}
                await client.post("/translate", json=body)

    await asyncio.gather(*(stream() for _ in range(_STREAMS)), *(read() for _ in range(4 if busy else 0)))
    return float(np.percentile(found, 99)) * 1000


if __name__ == "__main__":
    main()
