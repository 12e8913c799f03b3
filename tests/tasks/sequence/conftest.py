"""A reader of numbers of each cell, one of letters, and a server with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.bundle.reader import read_bundle
from app.tasks.sequence.model import SequenceModel
from app.tasks.sequence.schema import SequenceLimits
from tests.bundles import CELLS, tiny_reader, tiny_speller
from tests.e2e.server import ServerProcess

MODEL = "tiny-sensors-gru"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader of numbers of each cell, and one of letters."""
    folder = tmp_path_factory.mktemp("models")
    for cell in CELLS:
        tiny_reader(folder, cell, f"tiny-sensors-{cell}")
    tiny_speller(folder)
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[ServerProcess]:
    """Serves them."""
    with ServerProcess(models) as server:
        yield server


@pytest.fixture(scope="module")
def model(models: Path) -> SequenceModel:
    """Two columns, of which the second may be missing."""
    bundle = read_bundle(models / MODEL / "1")
    return SequenceModel(bundle, SequenceLimits(max_sequences=3, max_rows=20))
