"""A registry of the settings: where its models run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from app.registry import opening
from app.registry.loading import Loaded, load_bundle
from app.settings import load_settings
from app.telemetry.metrics import Metrics
from tests.bundles import tiny_classifier


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model."""
    folder = tmp_path_factory.mktemp("one-model")
    tiny_classifier(folder, name="mood")
    return folder


@pytest.mark.parametrize(
    ("flags", "cores", "on_loop"),
    [
        ({}, 1, True),
        ({}, 2, False),
        ({"workers": 2}, 2, True),
        ({"workers": 3}, 2, True),
        ({"workers": 3}, 4, False),
        ({"device": "cuda"}, 1, False),
        ({"engines": "loop"}, 8, True),
        ({"engines": "loop", "device": "cuda"}, 8, True),
        ({"engines": "threads"}, 1, False),
        ({"engines": "threads", "workers": 2}, 2, False),
    ],
)
def test_models_run_on_the_loop_where_each_core_has_a_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any], cores: int, on_loop: bool
) -> None:
    """Unless the settings say otherwise, or a GPU does the work."""
    loaded: list[bool] = []

    def watched(path: Path, device: str, *others: Any, on_loop: bool) -> Loaded:
        assert device == flags.get("device", "cpu")
        loaded.append(on_loop)
        return load_bundle(path, "cpu", *others, on_loop=on_loop)

    monkeypatch.setattr(opening, "load_bundle", watched)
    monkeypatch.setattr(opening, "usable_cores", lambda: cores)
    settings = load_settings(models=str(folder), **flags)
    registry = opening.open_registry(settings, Metrics())
    assert list(registry.served.catalog.deployments) == ["mood@1"]
    assert loaded == [on_loop]


async def test_an_engine_on_the_loop_needs_no_thread(folder: Path) -> None:
    """What the setting says is what the model's engine does."""
    settings = {"models": str(folder)}
    for engines, threads in (("loop", 0), ("threads", 1)):
        registry = opening.open_registry(load_settings(**settings, engines=engines), Metrics())
        registry.start()
        names = [thread.name for thread in threading.enumerate()]
        assert sum(name == "engine-mood@1" for name in names) == threads
        await registry.close()
