"""Fixtures shared by all tests: tiny bundles, made once a session."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.bundles import CELLS, tiny_classifier, tiny_forecaster, tiny_generator

REPOSITORY = Path(__file__).parent.parent
SHIPPED = REPOSITORY / "models"

torch.set_num_threads(1)
# How long an example takes says nothing on a machine that runs other tests beside it. ``make test`` takes the
# same examples for every change, so that what fails is the change; ``make explore`` looks for further ones.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("explore"), derandomize=True, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one tiny bundle of each task and cell, named ``tiny-TASK-CELL``."""
    folder = tmp_path_factory.mktemp("models")
    for cell in CELLS:
        tiny_generator(folder, cell, f"tiny-text-{cell}")
        tiny_classifier(folder, cell, f"tiny-mood-{cell}")
        tiny_forecaster(folder, cell, f"tiny-series-{cell}")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What finding the tests makes stays: millions of objects in which there is no garbage, then or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long begin first: a worker takes whole files, and would end long after the others."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
