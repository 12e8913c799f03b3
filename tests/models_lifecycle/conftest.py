"""Bundles, and a models folder that a test may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bundles import tiny_classifier, tiny_forecaster, tiny_generator
from tests.models_lifecycle.shelf import Shelf


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Made once."""
    folder = tmp_path_factory.mktemp("shelf")
    for seed, version in enumerate(("1", "2", "3"), start=11):
        tiny_generator(folder, name="text", version=version, seed=seed)
    tiny_classifier(folder, name="mood")
    tiny_forecaster(folder, name="series")
    return Shelf(folder)


@pytest.fixture
def models(shelf: Shelf, tmp_path: Path) -> Path:
    """A models folder with ``text@1`` and ``mood@1``."""
    folder = tmp_path / "models"
    shelf.put(folder, "text", "1")
    shelf.put(folder, "mood", "1")
    return folder
