"""A real server with two versions of a forecaster, and unmodified Triton clients of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import tritonclient.http as triton

from tests.bundles import tiny_classifier, tiny_forecaster, tiny_generator
from tests.e2e.server import ServerProcess


@pytest.fixture(scope="session")
def oip_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``series@1``, ``series@2``, ``mood@1`` and ``text@1``."""
    folder = tmp_path_factory.mktemp("oip-models")
    tiny_forecaster(folder, "lstm", "series", "1")
    tiny_forecaster(folder, "gru", "series", "2")
    tiny_forecaster(folder, "rnn", "single")
    tiny_classifier(folder, "gru", "mood")
    tiny_generator(folder, "lstm", "text")
    return folder


@pytest.fixture(scope="session")
def server(oip_models: Path) -> Iterator[ServerProcess]:
    """Serves them with the default limits."""
    with ServerProcess(oip_models) as process:
        yield process


@pytest.fixture
def client(server: ServerProcess) -> Iterator[triton.InferenceServerClient]:
    """Triton's client of that server."""
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}", concurrency=8) as client:
        yield client


@pytest.fixture
def native(server: ServerProcess) -> Iterator[httpx2.Client]:
    """A client of the server's own routes."""
    with server.client() as client:
        yield client
