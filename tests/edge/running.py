"""A server in this process, and what its connections say byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp

from app.core.limits import Limits
from app.edge.http.server import GracefulServer, bind, server_config
from tests.edge.fake_service import FakeEdge
from tests.edge.fake_sessions import FakeSessions


class Running:
    """A server in this process, on a free port; a context manager that ends it.

    Args:
        sessions: of the application around a fake service.
        limits: of it.
        app: what is served instead of it.
        ahead: as of one of several processes on the port.
    """

    def __init__(
        self,
        sessions: FakeSessions | None = None,
        limits: Limits | None = None,
        app: ASGIApp | None = None,
        ahead: Callable[[int], bool] | None = None,
    ) -> None:
        edge = FakeEdge(limits, (sessions or FakeSessions()).edge())
        self.listener = bind("127.0.0.1", 0)
        self.port: int = self.listener.getsockname()[1]
        self.started = asyncio.Event()
        config = server_config(app or edge.app, limits=edge.limits)
        self.server = GracefulServer(config, self._drain, self.started.set, ahead=ahead)

    async def __aenter__(self) -> Running:
        self.task = asyncio.create_task(self.server._serve([self.listener]))
        await self.started.wait()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.server.should_exit = True
        await self.task

    async def _drain(self) -> None:
        pass


class Line:
    """One connection, whose bytes are sent and read as they are; a context manager that closes it.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Line:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    def send(self, *requests: bytes) -> None:
        """All of them in one write."""
        self._writer.write(b"".join(requests))

    async def answer(self, *, bodiless: bool = False) -> tuple[bytes, dict[bytes, bytes], bytes]:
        """The next one: its status line, its headers and its body.

        Args:
            bodiless: it is that of a HEAD, which tells the length of a body that does not follow.
        """
        async with asyncio.timeout(10):
            head = await self._reader.readuntil(b"\r\n\r\n")
            status, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
            headers = dict(line.split(b": ", 1) for line in lines)
            assert len(headers) == len(lines), "each header once"
            length = 0 if bodiless else int(headers[b"content-length"])
            return status, headers, await self._reader.readexactly(length)

    async def ended(self) -> bool:
        """Whether the server closes it with nothing more to say."""
        return await asyncio.wait_for(self._reader.read(), 10) == b""
