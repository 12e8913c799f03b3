"""One server process for the tests that only ask, and the smallest for those that fill it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.server import ServerProcess


@pytest.fixture(scope="session")
def server(tiny_models: Path) -> Iterator[ServerProcess]:
    """Serves one tiny bundle of each task and cell with the default limits."""
    default = "forecast=tiny-series-lstm,sentiment=tiny-mood-gru,generate=tiny-text-lstm"
    with ServerProcess(tiny_models, default=default) as process:
        yield process


@pytest.fixture
def client(server: ServerProcess) -> Iterator[httpx2.Client]:
    """An HTTP client of that server."""
    with server.client() as client:
        yield client
