"""Servers with a captioner: one of random weights, and the shipped one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.server import ServerProcess
from tests.tasks.caption.network import tiny_captioner


@pytest.fixture(scope="package")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of random weights."""
    folder = tmp_path_factory.mktemp("models")
    tiny_captioner(folder)
    return folder


@pytest.fixture(scope="package")
def server(models: Path) -> Iterator[ServerProcess]:
    """Serves it."""
    with ServerProcess(models, tasks="caption", default="caption=tiny-eyes") as server:
        yield server


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx2.Client]:
    with server.client() as client:
        yield client
