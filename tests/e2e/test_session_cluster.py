"""Sessions of real servers on a real cluster of Redis, whose slots move while a server dies."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.kills import SECRET, Crowd, compare, free_port
from benchmarks.server import Server
from tests.e2e.test_session_kills import MODEL, acknowledged
from tests.e2e.test_session_kills import models as models
from tests.redis_cluster import RedisCluster


async def test_slots_move_and_a_server_is_killed(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients hop between two servers: no acknowledged step is missing, none is applied twice."""
    monkeypatch.setenv("RNNSERVE_STATE_KEY", SECRET)
    with RedisCluster(tmp_path) as cluster:
        flags = {"sessions": f"{cluster.url}/?shards=6"}
        with (
            Server(models, port=free_port(), **flags) as stays,
            Server(models, port=free_port(), **flags) as dies,
        ):
            crowd = Crowd([stays.url, dies.url], 50, MODEL)
            await crowd.open()
            feeding = asyncio.create_task(crowd.feed())
            before = await acknowledged(crowd, 200)
            source, target, _ = cluster.nodes
            moved = cluster.slots_with_keys(source)
            for slot in moved:
                await asyncio.to_thread(cluster.move, slot, source, target)
            dies.kill()
            after = await acknowledged(crowd, before + 200)
            crowd.stopping = True
            crowd.urls = [stays.url]
            await feeding
            states = await crowd.states()
        assert moved
        assert cluster.slots_with_keys(source) == []
    assert compare(models, crowd, states) >= after
