"""Loading on demand in this process: who waits for what, and what makes room."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import ConfigurationError, DeadlineExceeded, ModelNotLoaded, Overloaded
from app.main import answering
from app.registered import TASKS
from app.registry import on_demand, opening
from app.registry.loading import Loaded, load_bundle
from app.service.inference import InferenceService
from app.settings import load_settings
from tests.bundles import tiny_classifier

TASK = {task.name: task for task in TASKS}["sentiment"]
ONE = 4 * 2**20
"""Bytes in which there is room for one of these models, and no second one."""


class Gate:
    """Loads of ``slow`` wait here, in their threads."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.opened = threading.Event()

    def load(self, path: Path, *others: Any, **named: Any) -> Loaded:
        """As :func:`load_bundle`."""
        self.loads.append(path.parent.name)
        if path.parent.name == "slow":
            assert self.opened.wait(30)
        return load_bundle(path, *others, **named)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """In the place of loading."""
    gate = Gate()
    monkeypatch.setattr(opening, "load_bundle", gate.load)
    return gate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models."""
    folder = tmp_path_factory.mktemp("on-demand")
    for name in ("quick", "slow", "third"):
        tiny_classifier(folder, name=name)
    return folder


@asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[InferenceService]:
    """On demand."""
    async with answering(load_settings(models=str(folder), load="on-demand", **settings)) as service:
        yield service


async def ask(service: InferenceService, model: str) -> Any:
    """A request, and its answer."""
    assert TASK.parse is not None
    request = TASK.parse(json.dumps({"text": "a good film", "model": model}).encode())
    answer, _ = await service.answer(TASK, request)
    return answer


async def test_a_slow_load_holds_up_nobody_else(folder: Path, gate: Gate) -> None:
    """Many wait for it, and share it."""
    async with served(folder) as service:
        waiting = [asyncio.create_task(ask(service, "slow")) for _ in range(20)]
        await ask(service, "quick")
        await ask(service, "third")
        assert not any(task.done() for task in waiting)
        gate.opened.set()
        assert len(await asyncio.gather(*waiting)) == 20
        assert sorted(gate.loads) == ["quick", "slow", "third"]


async def test_a_request_waits_no_longer_than_it_may(
    folder: Path, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """The load goes on, also when nobody waits for it any more, and answers the next one."""
    async with served(folder, request_timeout_s=0.3) as service:
        with pytest.raises(DeadlineExceeded, match="slow@1 is still being loaded"):
            await ask(service, "slow")
        left = asyncio.create_task(ask(service, "slow"))
        await asyncio.sleep(0)
        left.cancel()
        gate.opened.set()
        async with asyncio.timeout(30):
            while service.catalog.deployments["slow@1"].model is None:
                await asyncio.sleep(0.01)
        await ask(service, "slow")
        assert gate.loads == ["slow"]
    assert not caplog.records


async def test_the_least_recently_used_makes_room(folder: Path, gate: Gate) -> None:
    """One that is in use does not, whenever it was used."""
    gate.opened.set()
    async with served(folder, models_memory_bytes=2 * ONE) as service:
        deployments = service.catalog.deployments

        def in_memory() -> set[str]:
            return {key for key, one in deployments.items() if one.model is not None}

        for model in ("quick", "slow", "quick", "third"):
            await ask(service, model)
        assert in_memory() == {"quick@1", "third@1"}
        deployments["quick@1"].uses += 1  # the older of the two
        await ask(service, "slow")
        assert in_memory() == {"quick@1", "slow@1"}


async def test_work_that_runs_is_not_given_up_for_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who needs the room is told to come back; it is tried again at once then."""
    monkeypatch.setattr(on_demand, "_ROOM_S", 0.05)
    async with served(folder, models_memory_bytes=ONE) as service:
        await ask(service, "quick")
        quick = service.catalog.deployments["quick@1"]
        quick.uses += 1
        with pytest.raises(Overloaded, match=r"slow@1: models with running work take all") as refused:
            await ask(service, "slow")
        assert refused.value.retry_after_s is not None
        quick.uses -= 1
        await ask(service, "slow")
        assert quick.model is None


async def test_a_model_that_is_too_large_says_so(folder: Path) -> None:
    """For all memory that there may be."""
    async with served(folder, models_memory_bytes=2**20) as service:
        with pytest.raises(ModelNotLoaded, match="--models-memory-bytes is 1,048,576"):
            await ask(service, "quick")


async def test_what_is_loaded_at_the_start_must_be_there(folder: Path, gate: Gate) -> None:
    """By name or by version."""
    with pytest.raises(ConfigurationError, match="--preload nobody: no such model"):
        async with served(folder, preload="quick,nobody"):
            pass
    gate.loads.clear()
    async with served(folder, preload="quick,third@1") as service:
        assert gate.loads == ["quick", "third"]
        await ask(service, "quick")
        assert gate.loads == ["quick", "third"]


async def test_the_end_does_not_wait_for_a_load(folder: Path, gate: Gate) -> None:
    """Who waits for it is told that the server ends."""
    async with served(folder) as service:
        waiting = asyncio.create_task(ask(service, "slow"))
        async with asyncio.timeout(30):
            while not gate.loads:
                await asyncio.sleep(0.01)
    with pytest.raises(Exception, match="shutting down"):
        await waiting
    gate.opened.set()
