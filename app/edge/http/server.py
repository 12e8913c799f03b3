"""uvicorn, with a shutdown that lets running work end first."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import resource
import select
import signal
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from app.core.errors import ConfigurationError
from app.core.limits import Limits
from app.core.memory import collector
from app.edge.http.http_connection import HttpConnection
from app.edge.http.room import MOST, room
from app.edge.http.transports import SHUTDOWN_S, unfinished
from app.edge.http.websocket_connection import WebSocketConnection

logger = logging.getLogger(__name__)

_BACKLOG = 2048
_GIVE_WAY_S = 0.001
_POLL_S = 0.05
_BREAK_OFF_S = 1.0
UNREAD_S = 60.0
"""How long a client may take in nothing of what was sent to it; the system drops it, on Linux."""


class GracefulServer(uvicorn.Server):
    """Serves until SIGTERM or SIGINT; then drains, with the port still answering, and exits with 0.

    ``hangup`` is called at each SIGHUP, ``announce`` when requests are accepted. Of several processes on a
    port each has ``ahead``, which is told how many connections are open and says whether another has fewer;
    somebody else answers SIGINT with a SIGTERM.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Callable[[], Awaitable[None]],
        announce: Callable[[], None],
        *,
        hangup: Callable[[], None] = lambda: None,
        ahead: Callable[[int], bool] | None = None,
    ) -> None:
        super().__init__(config)
        self._hangup = hangup
        self._ahead = ahead
        self._accepting: list[asyncio.Future[None]] = []
        self._connecting: set[asyncio.Future[Any]] = set()
        self._drain = drain
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        room.fit(_raise_descriptor_limit())
        await super().startup(sockets if self._ahead is None else [])
        if self._ahead is not None:
            self._accepting = [
                asyncio.ensure_future(self._accept(each, self._ahead)) for each in sockets or []
            ]
        collector.settle()
        if self.started:
            loop = asyncio.get_running_loop()
            signal.signal(signal.SIGHUP, lambda number, frame: loop.call_soon_threadsafe(self._hangup))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
            self._announce()

    async def _accept(self, listener: socket.socket, ahead: Callable[[int], bool]) -> None:
        """Give way to a process that has fewer connections: else whoever wakes first soon has them all.

        A millisecond is the price of one connection. Where the loop is busy it is more, and buys more.
        """
        loop, readable, pending = asyncio.get_running_loop(), asyncio.Event(), select.poll()
        listener.setblocking(False)
        pending.register(listener, select.POLLIN)
        while True:
            loop.add_reader(listener, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(listener)
            readable.clear()
            bought = 0.0
            while pending.poll(0):
                if bought < 1 and ahead(room.num_open + len(self._connecting)):
                    asked = loop.time()
                    await asyncio.sleep(_GIVE_WAY_S)
                    bought = max(1.0, (loop.time() - asked) / _GIVE_WAY_S)
                try:
                    self._connect(listener.accept()[0])
                except OSError:  # another process took it, the client has gone, or no descriptor is left
                    await asyncio.sleep(_GIVE_WAY_S)
                    break
                bought -= 1

    def _connect(self, connection: socket.socket) -> None:
        shared = {"server_state": self.server_state, "app_state": self.lifespan.state}
        made = partial(HttpConnection, self.config, **shared)
        task = asyncio.ensure_future(asyncio.get_running_loop().connect_accepted_socket(made, connection))
        self._connecting.add(task)
        task.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Future[Any]) -> None:
        self._connecting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.debug("a client has gone before it was heard: %r", error)

    async def _stop_accepting(self) -> None:
        for task in self._accepting:
            task.cancel()
        if waiting := [*self._accepting, *self._connecting]:
            await asyncio.wait(waiting, timeout=_BREAK_OFF_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then close every connection; at a second signal without waiting for either."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        logger.info("shutting down: running work may finish, new work is refused")
        drain = asyncio.ensure_future(self._drain())
        while not drain.done() and not self.force_exit:
            await asyncio.wait([drain], timeout=_POLL_S)
        if not self.force_exit:
            await drain
            await self._stop_accepting()
            await super().shutdown(sockets=sockets)
        if self.force_exit:
            logger.warning("a second signal: running work is broken off")
            drain.cancel()
            await self._break_off()

    async def _break_off(self) -> None:
        for server in self.servers:
            server.close()
        await self._stop_accepting()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_BREAK_OFF_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.lifespan.shutdown(), _BREAK_OFF_S)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal. Unlike uvicorn's own, it is not raised again at the end: a drain is a success."""
        if sig == signal.SIGINT and self._ahead is not None:
            return
        self.force_exit = self.force_exit or self.should_exit
        self.should_exit = True


def _raise_descriptor_limit() -> int:
    """Let the process have as many connections as the system allows; the usual 1,024 are soon taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST * 1024 if soft == resource.RLIM_INFINITY else soft


def server_config(app: ASGIApp, limits: Limits, trusted_proxies: str = "") -> uvicorn.Config:
    # Several of the largest bodies fit beside what others have sent.
    unfinished.limit = max(unfinished.limit, 4 * limits.max_body_bytes)
    room.most = max(MOST, 2 * limits.max_connections)
    return uvicorn.Config(
        app,
        callback_notify=collector.look,
        timeout_notify=collector.EVERY_S,
        loop="uvloop",
        http=HttpConnection,
        ws=WebSocketConnection,
        # A frame over the limit gets an error frame; only one far over it ends the connection.
        ws_max_size=2 * limits.max_frame_bytes + 64 * 1024,
        ws_per_message_deflate=False,
        ws_ping_interval=limits.socket_ping_s,
        ws_ping_timeout=limits.socket_ping_s,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
        # Longer than the minute after which load balancers drop their idle connections.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(SHUTDOWN_S),
    )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket: two may be bound to one port, so it listens at once. Raises ConfigurationError."""
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Closing waits until what was sent has been read, which a client that never reads does not do.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * UNREAD_S))
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"port {port} on {host} is already in use; choose another with --port, or 0 for a free one"
            ) from error
        if error.errno == errno.EACCES:
            raise ConfigurationError(f"port {port} needs more rights than this user has") from error
        raise ConfigurationError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    return listener
