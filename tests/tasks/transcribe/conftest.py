"""A network of random weights, and a server with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest

from app.bundle.reader import read_bundle
from app.runtime.session import GraphSession
from app.tasks.transcribe.model import TranscribeModel
from app.tasks.transcribe.schema import TranscribeLimits
from tests.bundles import tiny_hearer
from tests.e2e.server import ServerProcess


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of random weights."""
    folder = tmp_path_factory.mktemp("models")
    tiny_hearer(folder)
    return folder


@pytest.fixture(scope="module")
def model(models: Path) -> tuple[TranscribeModel, GraphSession, np.ndarray]:
    """The task's model, its graph, and its start row."""
    bundle = read_bundle(next(models.rglob("manifest.json")).parent)
    graph = GraphSession(bundle.graph, bundle.manifest)
    return TranscribeModel(bundle, TranscribeLimits()), graph, bundle.start


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """With sessions on disk."""
    state = tmp_path_factory.mktemp("state")
    with ServerProcess(models, default="transcribe=tiny-ears", state_dir=state, max_audio_s=30) as server:
        yield server


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx2.Client]:
    with server.client() as client:
        yield client
