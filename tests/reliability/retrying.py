"""Clients whose requests are sent again until they are answered, and a quiet server's answers to the same.

Asker --/forecast, /generate--> any status, any end --again--> 200, whose bytes are kept
Feeder --rnnserve_client: HTTP, or one line for all--> sessions, whose outputs are kept
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from rnnserve_client import Client, Retry

MAX_ATTEMPTS = 60
_PAUSE_S = 0.05
_RETRY = Retry(attempts=MAX_ATTEMPTS, longest_s=0.2)


@dataclass(frozen=True)
class Question:
    """A request that stores nothing: its answer is a function of it."""

    path: str
    body: dict[str, Any]


@dataclass
class Asker:
    """One request after the other, each until it is answered with 200.

    Attributes:
        answers: for each question the different bodies that came, of which there should be one.
        answered: how many requests were.
        again: why requests were sent again, with how often.
        attempts: the most that a request needed.
    """

    url: str
    questions: Sequence[Question]
    stopping: bool = False
    answers: dict[int, set[bytes]] = field(default_factory=dict)
    answered: int = 0
    again: Counter[str] = field(default_factory=Counter)
    attempts: int = 0

    async def run(self, num_clients: int) -> None:
        """So many at once, until :attr:`stopping`."""
        async with httpx2.AsyncClient(base_url=self.url, timeout=30) as http:
            await asyncio.gather(*(self._ask_all(http, first) for first in range(num_clients)))

    async def _ask_all(self, http: httpx2.AsyncClient, first: int) -> None:
        place = first
        while not self.stopping:
            place = (place + 1) % len(self.questions)
            body = await self._ask(http, self.questions[place])
            self.answers.setdefault(place, set()).add(body)
            self.answered += 1

    async def _ask(self, http: httpx2.AsyncClient, question: Question) -> bytes:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            self.attempts = max(self.attempts, attempt)
            try:
                answer = await http.post(question.path, json=question.body)
            except httpx2.TransportError as error:
                self.again[type(error).__name__] += 1
            else:
                if answer.status_code == 200:
                    return answer.content
                self.again[str(answer.status_code)] += 1
                # Anything else than "not now", or a proxy's word for a server that is gone, is no reason.
                theirs = answer.headers["content-type"] != "application/problem+json"
                assert answer.status_code in (502, 503) or (answer.status_code == 500 and theirs), answer.text
            await asyncio.sleep(_PAUSE_S)
        raise AssertionError(f"{question} was not answered in {MAX_ATTEMPTS} attempts: {self.again}")


@dataclass
class Feeder:
    """Sessions that are fed by the client that the project ships.

    Args:
        url: of a server.
        model: of the sessions, a forecaster.
        num_http: sessions that are fed by requests.
        num_line: sessions that are fed over one WebSocket together.

    Attributes:
        outputs: of each session, in order; there is one for each acknowledged step.
    """

    url: str
    model: str
    num_http: int = 4
    num_line: int = 4
    stopping: bool = False
    outputs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    async def run(self) -> None:
        """Until :attr:`stopping`."""
        async with Client(self.url, retry=_RETRY) as client, client.connect() as line:
            work = []
            for index in range(self.num_http + self.num_line):
                session = await client.create(model=self.model, id=f"fed-{index}")
                feed = session.feed if index < self.num_http else _on(line, session)
                work.append(self._feed(session.id, feed))
            await asyncio.gather(*work)

    async def _feed(self, id: str, feed: Any) -> None:
        found = self.outputs.setdefault(id, [])
        while not self.stopping:
            result = await feed(observation(id, len(found) + 1))
            assert (result.seq, result.step) == (len(found) + 1, len(found) + 1), result
            found += result.outputs
            # Leaves the processor to the others.
            await asyncio.sleep(0.01)


def observation(id: str, step: int) -> float:
    """What is fed at a step: a function of session and step alone."""
    return round(10 + 5 * math.sin(step / 3 + sum(id.encode())), 3)


def _on(line: Any, session: Any) -> Any:
    async def feed(value: float) -> Any:
        return await line.feed(session, value)

    return feed


async def check_answers(quiet: str, asker: Asker) -> int:
    """Ask a quiet server the same, one after the other; returns how many questions were compared.

    Raises:
        AssertionError: an answer under load differs, in any byte.
    """
    async with httpx2.AsyncClient(base_url=quiet, timeout=30) as http:
        for place, bodies in asker.answers.items():
            question = asker.questions[place]
            answer = await http.post(question.path, json=question.body)
            assert answer.status_code == 200, answer.text
            assert bodies == {answer.content}, (question, bodies, answer.content)
    return len(asker.answers)


async def check_sessions(url: str, quiet: str, feeder: Feeder) -> int:
    """Feed sessions of a quiet server the same, one step after the other; returns the steps compared.

    Raises:
        AssertionError: an output, or the forecast from where a session is, differs.
    """
    total = 0
    async with Client(url) as client, Client(quiet) as other:
        for id, outputs in feeder.outputs.items():
            session = await client.session(id)
            assert session.step == len(outputs), id
            again = await other.create(model=feeder.model, id=id)
            for step, output in enumerate(outputs, 1):
                assert (await again.feed(observation(id, step))).outputs == [output], (id, step)
            assert await session.forecast(horizon=4) == await again.forecast(horizon=4)
            total += len(outputs)
    return total
