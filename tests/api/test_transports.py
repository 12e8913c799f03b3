"""Connections are dropped by rules that only the transport can keep."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from app.api import transports
from app.api.server import GracefulServer, bind, server_config
from app.core.errors import ConfigurationError
from tests.api.fake_service import FakeEdge


class Running:
    """A server in this process, on a free port."""

    def __init__(self) -> None:
        edge = FakeEdge()
        self.listener = bind("127.0.0.1", 0)
        self.port: int = self.listener.getsockname()[1]
        self.started = asyncio.Event()
        self.server = GracefulServer(
            server_config(edge.app, limits=edge.limits), self._drain, self.started.set
        )

    async def __aenter__(self) -> Running:
        self.task = asyncio.create_task(self.server._serve([self.listener]))
        await self.started.wait()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.server.should_exit = True
        await self.task

    async def _drain(self) -> None:
        pass


async def test_a_head_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a silent connection nor half a request may stay for ever; a finished one may."""
    monkeypatch.setattr(transports, "HEAD_S", 0.2)
    async with Running() as running:
        silent, idle = await asyncio.open_connection("127.0.0.1", running.port)
        half, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: ")
        whole, other = await asyncio.open_connection("127.0.0.1", running.port)
        other.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await whole.readline()).startswith(b"HTTP/1.1 200")
        for reader in (silent, half):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await asyncio.wait_for(reader.readexactly(1), 10)
        await asyncio.sleep(0.3)
        other.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.wait_for(whole.readuntil(b"HTTP/1.1 200"), 10)
        for stream in (idle, writer, other):
            stream.close()
            with contextlib.suppress(ConnectionError):
                await stream.wait_closed()


def test_a_port_is_bound_or_the_reason_is_said() -> None:
    """In one sentence, for a taken port and for an address that is not ours."""
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} on 127.0.0.1 is already in use"):
            bind("127.0.0.1", port).close()
    with pytest.raises(ConfigurationError, match=r"cannot listen on 203\.0\.113\.7"):
        bind("203.0.113.7", 0).close()
    with bind("localhost", 0) as named:
        assert named.getsockname()[1] > 0
