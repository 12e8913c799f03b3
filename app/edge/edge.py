"""What every route needs, as one value on the application's state; whether the process takes new work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from app.access.key_ring import KeyRing
from app.core.errors import Draining, UnknownSession
from app.core.limits import Limits
from app.edge.http.large_bodies import LargeBodies
from app.service.inference import InferenceService
from app.service.model_control import ModelControl
from app.sessions.limits import SessionLimits
from app.sessions.record import is_session_id
from app.sessions.service import SessionService
from app.tasks.task import Tasks
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Tracing

_POLL_S = 0.01


class Lifecycle:
    """Ready until told to drain; ``started`` says whether the port's other workers are ready too."""

    def __init__(self, started: Callable[[], bool] = lambda: True) -> None:
        self.started = started
        self.draining = False
        self.running = 0
        self.num_handshakes = 0
        self._sockets: set[Callable[[], None]] = set()

    @property
    def num_sockets(self) -> int:
        """Of WebSockets, those included whose handshake is still to be answered."""
        return len(self._sockets) + self.num_handshakes

    def admitted(self, *, again: bool = False) -> Lifecycle:
        """In the block a request is worked on; raises Draining unless it was admitted before (``again``)."""
        if self.draining and not again:
            raise Draining("the server is shutting down")
        return self

    def __enter__(self) -> None:
        self.running += 1

    def __exit__(self, *error: object) -> None:
        self.running -= 1

    def enter(self, drain: Callable[[], None]) -> None:
        """A socket was opened, which ends by itself once ``drain`` is called."""
        self._sockets.add(drain)

    def leave(self, drain: Callable[[], None]) -> None:
        self._sockets.discard(drain)

    def drain(self) -> None:
        self.draining = True
        for drain in list(self._sockets):
            drain()

    async def settled(self, timeout_s: float) -> bool:
        """Wait until nothing runs and every socket is closed; whether that was so in time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while self.running or self._sockets:
            if loop.time() >= until:
                return False
            await asyncio.sleep(_POLL_S)
        return True


@dataclass(frozen=True, slots=True)
class SessionEdge:
    """``trouble`` says why the store is not to be relied on, if so."""

    service: SessionService
    limits: SessionLimits
    trouble: Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class AccessRules:
    """``keys`` of ``None`` let everybody in; ``admin_port`` alone answers metrics and admin paths.

    ``hosts`` and ``admin_hosts`` are the names by which the two ports may be called; ``*`` for all.
    """

    keys: KeyRing | None = None
    admin_port: int | None = None
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ("*",)
    admin_hosts: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class Edge:
    """``alive`` is by ``name@version``."""

    service: InferenceService
    limits: Limits
    tasks: Tasks
    metrics: Metrics
    lifecycle: Lifecycle
    alive: Mapping[str, Callable[[], bool]]
    models: ModelControl
    sessions: SessionEdge | None = None
    tracing: Tracing | None = None
    access_log: bool = False
    access: AccessRules = AccessRules()
    large_bodies: LargeBodies = field(default_factory=LargeBodies)


def edge_of(connection: HTTPConnection) -> Edge:
    edge: Edge = connection.app.state.edge
    return edge


def sessions_of(connection: HTTPConnection) -> SessionEdge:
    """The sessions of the application; raises HTTPException, a 404, where there are none."""
    sessions = edge_of(connection).sessions
    if sessions is None:
        raise HTTPException(404, "sessions are turned off on this server; --sessions says where to keep them")
    return sessions


def request_id_of(connection: HTTPConnection) -> str:
    request_id: str = connection.scope["state"]["request_id"]
    return request_id


def owner_of(connection: HTTPConnection) -> str:
    """Whose sessions may be touched: the name of the key, empty without keys."""
    owner: str = connection.scope["state"].get("owner", "")
    return owner


def known(id: str) -> str:
    """The id, if a store may be asked for it; raises UnknownSession."""
    if not is_session_id(id):
        raise UnknownSession(id)
    return id
