"""Endurance: requests of random shapes for minutes, and whether memory stays where it is."""

from __future__ import annotations

import asyncio
import math
import random
import time
from dataclasses import dataclass, field

import numpy as np
import orjson

from benchmarks.processes import Subject
from benchmarks.report import Figure, plain
from benchmarks.server import Server
from rnnserve_bench.http_line import HttpLine

_CLIENTS = 8
_WORDS = [
    "the",
    "film",
    "was",
    "a",
    "warm",
    "and",
    "funny",
    "story",
    "that",
    "never",
    "quite",
    "finds",
    "its",
    "way",
    "home",
]


@dataclass(slots=True)
class Soak:
    """Samples of the process, and what was answered.

    Attributes:
        samples: seconds since the start, resident megabytes.
        statuses: answers by status.
    """

    samples: list[tuple[float, float]] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def notes(self) -> dict[str, object]:
        """For the results."""
        return {
            "samples": [(round(at, 1), round(held, 1)) for at, held in self.samples],
            "statuses": {str(status): count for status, count in self.statuses.items()},
        }

    def growth(self) -> float:
        """Megabytes a minute over the second half: a straight line through the samples."""
        half = self.samples[len(self.samples) // 2 :]
        if len(half) < 2:
            return 0.0
        at, held = np.array(half).T
        return float(np.polyfit(at / 60, held, 1)[0])

    def figures(self) -> list[Figure]:
        """First third against last third, and the slope."""
        third = max(1, len(self.samples) // 3)
        held = [value for _, value in self.samples]
        early, late = float(np.median(held[third : 2 * third])), float(np.median(held[-third:]))
        minutes = self.samples[-1][0] / 60
        return [
            plain(
                f"soak of {minutes:.0f} minutes, requests", [float(sum(self.statuses.values()))], "requests"
            ),
            plain("soak, RSS, highest", [max(held)], "MB"),
            Figure("soak, RSS, last third", late, "MB", late / early, "its middle third", most=1.05),
            plain("soak, growth over the second half", [self.growth()], "MB/minute"),
        ]


async def soak(server: Server, seconds: float) -> Soak:
    """Keep clients busy with random work on the shipped bundles.

    Raises:
        RuntimeError: a request was answered with a status of the server's own fault.
    """
    found = Soak()
    started = time.perf_counter()
    until = started + seconds
    watcher = asyncio.create_task(_watch(server, found, started, until))
    try:
        await asyncio.gather(*(_client(server.url, index, until, found) for index in range(_CLIENTS)))
    finally:
        await asyncio.gather(watcher, return_exceptions=True)
    wrong = {status: count for status, count in found.statuses.items() if status >= 500}
    if wrong:
        raise RuntimeError(f"the soak saw {wrong}")
    return found


async def _watch(subject: Subject, found: Soak, started: float, until: float) -> None:
    pause = max(0.5, (until - started) / 120)
    while time.perf_counter() < until:
        found.samples.append((time.perf_counter() - started, subject.memory().rss))
        await asyncio.sleep(pause)


async def _client(url: str, index: int, until: float, found: Soak) -> None:
    chance = random.Random(index)
    line = HttpLine(url)
    session = 0
    try:
        while time.perf_counter() < until:
            for method, path, body in _work(chance, f"soak-{index}-{session}"):
                status, _ = await line.ask(method, path, body)
                found.statuses[status] = found.statuses.get(status, 0) + 1
            session += 1
    finally:
        line.close()


def _work(chance: random.Random, id: str) -> list[tuple[str, str, bytes]]:
    """Some requests: sizes are drawn on a logarithmic scale."""

    def size(most: int) -> int:
        return max(1, round(math.exp(math.log(most) * chance.random())))

    kind = chance.randrange(4)
    if kind == 0:
        series = [
            {"values": [round(chance.gauss(100, 20), 2) for _ in range(2 + size(3000))]}
            for _ in range(size(8))
        ]
        return [("POST", "/forecast", orjson.dumps({"series": series, "horizon": chance.randrange(1, 49)}))]
    if kind == 1:
        texts = [" ".join(chance.choices(_WORDS, k=size(400))) for _ in range(size(8))]
        return [("POST", "/sentiment", orjson.dumps({"text": texts}))]
    if kind == 2:
        prompt = " ".join(chance.choices(_WORDS, k=size(200)))
        body = {"prompt": prompt, "max_tokens": size(200), "temperature": 0.8, "n": size(4)}
        return [("POST", "/generate", orjson.dumps(body))]
    steps = [
        (
            "POST",
            f"/sessions/{id}/steps",
            orjson.dumps({"inputs": [chance.gauss(100, 20) for _ in range(size(50))]}),
        )
        for _ in range(size(20))
    ]
    opened = ("POST", "/sessions", orjson.dumps({"task": "forecast", "id": id}))
    return [opened, *steps, ("DELETE", f"/sessions/{id}", b"")]
