"""The application on Ray Serve: real replicas on a real cluster of this machine, with a real Valkey."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.deploy.balancer import free_address
from tests.e2e.server import REPOSITORY, ServerProcess
from tests.redis_server import RedisServer
from tests.reliability.retrying import Asker, Feeder, Question, check_answers, check_sessions
from tests.reliability.traffic import MODEL, SECRET, SERIES, write_models

pytestmark = pytest.mark.skipif(
    not os.environ.get("TEST_RAY_SERVE"), reason="takes minutes; TEST_RAY_SERVE=1 runs it, with ray[serve]"
)
WAIT_S = 120
_SEEN = (REPOSITORY, REPOSITORY / "client", REPOSITORY / "deploy" / "ray")
"""Where the cluster's processes find modules."""
QUESTIONS = [
    *(
        Question("/forecast", {"model": SERIES, "values": [n, 4, 2, 5 + n, 3, 6], "horizon": 3})
        for n in range(8)
    ),
    *(
        Question("/generate", {"model": MODEL, "prompt": "AB", "max_tokens": 40, "seed": n, "temperature": 1})
        for n in range(8)
    ),
]


class Serving:
    """Two replicas, served at ``url``."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.url = url
        self._ready()

    def replace(self) -> None:
        """Both, as by a new version."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._ready()

    def _ready(self) -> None:
        assert self._process.stdout is not None
        # Ray prints what it thinks of dead processes in between.
        assert "ready\n" in iter(self._process.stdout.readline, ""), self._process.communicate()[1]

    def replicas(self) -> set[int]:
        """Their process ids."""
        return {
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if _text(path).startswith("ray::ServeReplica:default:rnnserve")
        }


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has just ended
        return ""


@contextmanager
def serving(models: Path, store: str) -> Iterator[Serving]:
    """On a cluster of its own."""
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 4, "include_dashboard": False, "object_store_memory": 80 << 20},
    )
    port = free_address().rpartition(":")[2]
    settings = {
        "RNNSERVE_MODELS": str(models),
        "RNNSERVE_SESSIONS": store,
        "RNNSERVE_STATE_KEY": SECRET,
        "RNNSERVE_LOG_LEVEL": "warning",
    }
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "tests.deploy.serving", cluster.address, port],
            cwd=REPOSITORY,
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield Serving(process, f"http://127.0.0.1:{port}")
            finally:
                process.kill()
    finally:
        cluster.shutdown()


async def test_a_killed_replica_and_a_new_version_lose_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load one replica is killed, then both are replaced: all is as in a serial run."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, _SEEN)))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # Beside other tests a proxy takes longer to start than the five seconds that Ray gives it.
    for what in ("READY_CHECK", "HEALTH_CHECK"):
        monkeypatch.setenv(f"RAY_SERVE_PROXY_{what}_TIMEOUT_S", "60")
    models, folder = tmp_path / "models", tmp_path / "store"
    models.mkdir()
    folder.mkdir()
    write_models(models)
    with RedisServer(folder) as store, serving(models, store.url) as served:
        asker, feeder = Asker(served.url, QUESTIONS), Feeder(served.url, SERIES)

        async def until(what: str, holds: Any) -> None:
            async with asyncio.timeout(WAIT_S):
                while not holds():
                    await asyncio.sleep(0.05)

        def fed() -> int:
            return min(map(len, feeder.outputs.values()), default=0)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asker.run(4))
            tasks.create_task(feeder.run())
            await until("the first steps", lambda: fed() > 5)
            first = served.replicas()
            assert len(first) == 2
            os.kill(min(first), signal.SIGKILL)
            before = fed()
            await until("another replica", lambda: len(served.replicas() - {min(first)}) == 2)
            await until("steps after the kill", lambda: fed() > before + 10)
            killed = served.replicas()
            await asyncio.to_thread(served.replace)
            before = fed()
            await until("the end of the old ones", lambda: not served.replicas() & killed)
            await until("steps on the new ones", lambda: fed() > before + 10)
            asker.stopping = feeder.stopping = True
        with ServerProcess(models, state_key=SECRET) as quiet:
            assert await check_answers(quiet.url, asker) == len(QUESTIONS)
            assert await check_sessions(served.url, quiet.url, feeder) > 8 * 25
        assert httpx2.get(f"{served.url}/readyz").status_code == 200
