"""Mixed load on servers: requests, streams and sockets at once, each with a record of what became of it.

    Traffic --HTTP, events, WS /generate, WS /sessions, WS /sessions/{id}--> servers
            --> statuses by kind of request, and what every session was told

Every session is fed tokens that are a function of its name and the step, so that a serial run can
be compared with it, bit for bit: see ``benchmarks.kills.compare``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from benchmarks.kills import SECRET, Client, Crowd, compare
from tests.bundles import tiny_forecaster, tiny_generator

MODEL = "letters"
SERIES = "series"
_PAUSE_S = 0.02
_IN_FLIGHT = 4
_TEXT = {"model": MODEL, "prompt": "AB", "max_tokens": 120, "seed": 1}
_SERIES = {"model": SERIES, "values": [1, 4, 2, 5, 3, 6, 4, 7], "horizon": 3}


def write_models(folder: Path) -> None:
    """A text model with room for every token that is fed, and a forecaster."""
    tiny_generator(folder, "gru", MODEL, letters="".join(map(chr, range(32, 95))) + "\n")
    tiny_forecaster(folder, name=SERIES)


@dataclass
class Ending:
    """How a socket of sessions ended.

    Attributes:
        code: of the close frame; ``None`` when the connection broke.
        step: that the closing frame said, if it did.
        acknowledged: what had been answered by then.
        held: what the session held when a socket was opened again.
    """

    code: int | None
    step: int | None
    acknowledged: int
    held: int | None = None


@dataclass
class Traffic:
    """Clients that go on until :attr:`stopping`, over restarts and on any of some servers.

    Args:
        urls: of servers, or of what stands before them.
        num_http: sessions that are fed by requests, one step each.
        num_lines: sessions with a socket of their own, a few steps in flight.
        num_shared: sessions on one socket together.

    Attributes:
        outcomes: by kind of request, how often which status or ending came.
        wrong: what should never come, as sentences.
        endings: of sockets of one session.
    """

    urls: Sequence[str]
    num_http: int = 20
    num_lines: int = 6
    num_shared: int = 10
    stopping: bool = False
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    _turn: int = 0

    def __post_init__(self) -> None:
        self.crowd = Crowd(self.urls, self.num_http, MODEL)
        self.lines = [Client(f"line-{index}", in_flight=_IN_FLIGHT) for index in range(self.num_lines)]
        self.shared = [Client(f"shared-{index}") for index in range(self.num_shared)]

    @property
    def clients(self) -> list[Client]:
        """Of every session."""
        return [*self.crowd.clients, *self.lines, *self.shared]

    @property
    def acknowledged(self) -> int:
        """Steps that were answered."""
        return sum(client.acknowledged for client in self.clients)

    async def open(self) -> None:
        """Make the sessions."""
        await self.crowd.open()
        async with httpx2.AsyncClient(timeout=30) as http:
            for client in [*self.lines, *self.shared]:
                answer = await http.post(f"{self._url()}/sessions", json={"model": MODEL, "id": client.id})
                assert answer.status_code == 201, answer.text

    async def run(self) -> None:
        """Everything at once, until it is to stop."""
        work: list[Coroutine[Any, Any, None]] = [self.crowd.feed(), self._feed_shared()]
        work += [self._feed_line(client) for client in self.lines]
        work += [self._ask("forecast", "/forecast", _SERIES) for _ in range(3)]
        work += [self._stream() for _ in range(2)] + [self._generate() for _ in range(2)]
        await asyncio.gather(*work)

    def stop(self) -> None:
        """Let every client end with the answer it waits for."""
        self.stopping = self.crowd.stopping = True

    def check(self, models: Path, states: dict[str, tuple[int, bytes]]) -> int:
        """Compare every session with a serial run; returns the steps compared."""
        return compare(models, self._everyone(), states)

    async def states(self) -> dict[str, tuple[int, bytes]]:
        """Step and row of every session."""
        return await self._everyone().states()

    def _everyone(self) -> Crowd:
        return Crowd(self.urls, len(self.clients), MODEL, clients=self.clients)

    def _url(self) -> str:
        self._turn += 1
        return self.urls[self._turn % len(self.urls)]

    def _note(self, kind: str, outcome: str) -> None:
        self.outcomes.setdefault(kind, Counter())[outcome] += 1

    def _refused(self, kind: str, answer: httpx2.Response) -> None:
        """Only "not now" may be the answer, with when to come again."""
        if answer.status_code not in (502, 503) or not (
            answer.status_code == 502 or answer.headers.get("retry-after")
        ):
            self.wrong.append(f"{kind}: {answer.status_code} {answer.text[:200]}")

    async def _ask(self, kind: str, path: str, body: dict[str, Any]) -> None:
        async with httpx2.AsyncClient(timeout=30) as http:
            while not self.stopping:
                try:
                    answer = await http.post(self._url() + path, json=body)
                except httpx2.ConnectError:
                    self._note(kind, "nobody there")
                except httpx2.TransportError as error:
                    self._note(kind, _broken(error))
                else:
                    self._note(kind, str(answer.status_code))
                    if answer.status_code != 200:
                        self._refused(kind, answer)
                await asyncio.sleep(_PAUSE_S)

    async def _stream(self) -> None:
        """Texts as events: each ends whole, or is refused whole."""
        async with httpx2.AsyncClient(timeout=30) as http:
            while not self.stopping:
                begun = False
                try:
                    async with http.stream(
                        "POST", f"{self._url()}/generate", json=_TEXT | {"stream": True}
                    ) as answer:
                        begun = True
                        if answer.status_code != 200:
                            await answer.aread()
                            self._refused("events", answer)
                            self._note("events", str(answer.status_code))
                        else:
                            self._note("events", await _last_event(answer.aiter_lines()))
                except httpx2.ConnectError:
                    self._note("events", "nobody there")
                except httpx2.TransportError as error:
                    self._note("events", "cut" if begun else _broken(error))
                await asyncio.sleep(_PAUSE_S)

    async def _generate(self) -> None:
        """Texts on a socket, one after the other."""
        while not self.stopping:
            socket = await self._connect("/generate")
            if socket is None:
                continue
            running = False
            try:
                while not self.stopping:
                    await socket.send(json.dumps(_TEXT))
                    kind = "token"
                    while kind == "token":
                        kind = json.loads(await socket.recv())["type"]
                        running = kind == "token"
                    self._note("WS /generate", kind)
                await socket.close()
            except ConnectionClosed as closed:
                code = None if closed.rcvd is None else closed.rcvd.code
                self._note("WS /generate", f"closed {code}{' within a text' if running else ''}")

    async def _feed_line(self, client: Client) -> None:
        """``WS /sessions/{id}``, a few steps in flight; after each end it goes on where the hello says."""
        ending: Ending | None = None
        while not self.stopping:
            socket = await self._connect(f"/sessions/{client.id}")
            if socket is None:
                continue
            before, ending = ending, Ending(None, None, client.acknowledged)
            try:
                hello = json.loads(await socket.recv())
                if before is not None:
                    before.held = hello["step"]
                if not client.acknowledged <= hello["step"] <= client.acknowledged + client.in_flight:
                    self.wrong.append(f"{client.id}: {client.acknowledged} acknowledged, hello {hello}")
                client.acknowledged = hello["step"]
                await self._pump(socket, client, ending)
                await socket.close()
                continue
            except ConnectionClosed as closed:
                ending.code = None if closed.rcvd is None else closed.rcvd.code
            ending.acknowledged = client.acknowledged
            self.endings.append(ending)
            self._note("WS /sessions/{id}", f"closed {ending.code}")

    async def _pump(self, socket: ClientConnection, client: Client, ending: Ending) -> None:
        sent = client.acknowledged
        while not self.stopping or sent > client.acknowledged:
            while not self.stopping and sent < client.acknowledged + client.in_flight:
                sent += 1
                call = {"type": "step", "seq": sent, "inputs": [client.token(sent)]}
                # A socket that is closed may hold frames all the same; reading tells when there are none.
                with contextlib.suppress(ConnectionClosed):
                    await socket.send(json.dumps(call))
            frame = json.loads(await socket.recv())
            for one in frame["results"] if frame["type"] == "outputs" else [frame]:
                if one["type"] == "output":
                    self._acknowledge(client, one)
                elif one["type"] == "closing":
                    ending.step = one["step"]
                else:
                    self._note("WS /sessions/{id}", str(one.get("status", one["type"])))
                    if one["type"] != "error" or one["status"] not in (409, 503):
                        self.wrong.append(f"{client.id}: {one}")
                    elif one["status"] == 503 and not ending.step:
                        # What was sent behind it conflicts; begin again from what was answered.
                        sent = min(sent, client.acknowledged)
                        await asyncio.sleep(_PAUSE_S)

    async def _feed_shared(self) -> None:
        """``WS /sessions``: all of its sessions on one socket, one step of each in flight."""
        by_id = {client.id: client for client in self.shared}
        while not self.stopping:
            socket = await self._connect("/sessions")
            if socket is None:
                continue
            try:
                due = deque(self.shared)
                waiting: set[str] = set()
                while not self.stopping or waiting:
                    while due and not self.stopping:
                        client = due.popleft()
                        waiting.add(client.id)
                        step = client.acknowledged + 1
                        call = {"type": "step", "id": client.id, "seq": step, "inputs": [client.token(step)]}
                        with contextlib.suppress(ConnectionClosed):
                            await socket.send(json.dumps(call))
                    frame = json.loads(await socket.recv())
                    for one in frame["results"] if frame["type"] == "outputs" else [frame]:
                        if one["type"] in ("output", "error"):
                            waiting.discard(one["id"])
                            due.append(by_id[one["id"]])
                        if one["type"] == "output":
                            self._acknowledge(by_id[one["id"]], one)
                        elif one["type"] != "closing":
                            self._note("WS /sessions", str(one.get("status", one["type"])))
                            if one.get("status") != 503:
                                self.wrong.append(f"WS /sessions: {one}")
                            await asyncio.sleep(_PAUSE_S)
                await socket.close()
            except ConnectionClosed as closed:
                code = None if closed.rcvd is None else closed.rcvd.code
                self._note("WS /sessions", f"closed {code}")

    def _acknowledge(self, client: Client, told: dict[str, Any]) -> None:
        expected = client.acknowledged + 1
        if (told["seq"], told["step"]) != (expected, expected):
            self.wrong.append(f"{client.id}: step {expected} was answered with {told['seq']}, {told['step']}")
        client.acknowledged = told["step"]

    async def _connect(self, path: str) -> ClientConnection | None:
        url = self._url().replace("http", "ws", 1)
        try:
            return await connect(url + path, max_size=None, ping_interval=None)
        except (OSError, InvalidHandshake, EOFError):
            self._note("handshake", "refused")
            await asyncio.sleep(_PAUSE_S)
            return None


def _broken(error: httpx2.TransportError) -> str:
    """Whether an answer was cut off, or none had begun: a server that ends takes no further connection."""
    return "cut" if "complete message body" in str(error) else "unanswered"


async def _last_event(lines: AsyncIterator[str]) -> str:
    """Name of the last event of a stream."""
    last = "nothing"
    async for line in lines:
        if line.startswith("event: "):
            last = line.removeprefix("event: ")
    return last


@contextlib.asynccontextmanager
async def running(traffic: Traffic) -> AsyncIterator[None]:
    """The traffic flows within the block, and has ended behind it."""
    flow = asyncio.create_task(traffic.run())
    try:
        yield
        traffic.stop()
        await asyncio.wait_for(flow, 60)
    finally:
        flow.cancel()
        await asyncio.gather(flow, return_exceptions=True)


__all__ = ["MODEL", "SECRET", "Ending", "Traffic", "running", "write_models"]
