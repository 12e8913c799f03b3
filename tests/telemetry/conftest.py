"""Real servers, a Prometheus, and traffic of every kind."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from websockets.sync.client import connect

from tests.e2e.server import REPOSITORY, ServerProcess

DEPLOY = REPOSITORY / "deploy"
DEFAULT = "forecast=tiny-series-lstm,sentiment=tiny-mood-gru,generate=tiny-text-lstm"


def program(name: str) -> str:
    """Path of a program of Debian's package ``prometheus``; the test is skipped without it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: apt install prometheus)")
    return found


def promtool(*arguments: str | Path, text: str | None = None) -> str:
    """Run promtool; what it said, with its exit status in the failure."""
    command = [program("promtool"), *map(str, arguments)]
    result = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    return said


def use_everything(server: ServerProcess, session: str = "s-1") -> None:
    """One request of each kind: tasks, a stream, a socket, a session's life, and some that are refused."""
    with server.client() as client:
        assert client.post("/forecast", json={"values": [1, 2, 4], "horizon": 2}).status_code == 200
        assert client.post("/sentiment", json={"text": ["good", "bad film"]}).status_code == 200
        assert client.post("/generate", json={"prompt": "ab", "max_tokens": 9, "n": 2}).status_code == 200
        assert client.post("/generate", json={"max_tokens": 5, "stream": True}).status_code == 200
        assert client.post("/forecast", json={"values": [], "horizon": 2}).status_code == 422
        assert client.get("/nowhere").status_code == 404
        made = client.post("/sessions", json={"task": "forecast", "id": session})
        assert made.status_code == 201, made.text
        steps = {"inputs": [1, 2, 3], "seq": 1}
        for status in (200, 200):  # the second is answered again
            answer = client.post(f"/sessions/{session}/steps", json=steps)
            assert answer.status_code == status, answer.text
        assert client.post(f"/sessions/{session}/steps", json={"inputs": [1], "seq": 9}).status_code == 409
        assert client.delete(f"/sessions/{session}").status_code in (200, 204)
    with connect(server.websocket) as websocket:
        websocket.send(json.dumps({"max_tokens": 12}))
        for frame in map(json.loads, websocket):
            if frame["type"] == "done":
                break


@pytest.fixture(scope="session")
def server(tiny_models: Path) -> Iterator[ServerProcess]:
    """One process, which has done everything once."""
    with ServerProcess(tiny_models, default=DEFAULT) as process:
        use_everything(process)
        yield process


class Prometheus:
    """A running Prometheus.

    Args:
        url: where it answers.
    """

    def __init__(self, url: str) -> None:
        self._client = httpx2.Client(base_url=url, timeout=30)

    def ready(self) -> bool:
        """Whether it answers questions."""
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx2.TransportError:
            return False

    def get(self, path: str, **query: str) -> Any:
        """Data of an answer of its API."""
        answer = self._client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression as it is now."""
        found: list[dict[str, Any]] = self.get("/api/v1/query", query=expression)["result"]
        return found

    def wait_for(self, expression: str, value: float, timeout_s: float = 60.0) -> None:
        """Block until the only series of an expression has a value."""
        until = time.monotonic() + timeout_s
        while True:
            found = self.query(expression)
            if [float(one["value"][1]) for one in found] == [value]:
                return
            assert time.monotonic() < until, f"{expression} is {found}, not {value}"
            time.sleep(0.1)

    def close(self) -> None:
        """Close its client."""
        self._client.close()


@contextmanager
def prometheus(folder: Path, *targets: str) -> Iterator[Prometheus]:
    """A Prometheus with the configuration of ``deploy/``, but for its targets and its pace."""
    binary = program("prometheus")
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "250ms", "evaluation_interval": "250ms"}
    config["rule_files"] = [str(DEPLOY / name) for name in config["rule_files"]]
    (job,) = config["scrape_configs"]
    job.pop("dns_sd_configs", None)
    job["static_configs"] = [{"targets": list(targets)}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        binary,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    client = Prometheus(f"http://127.0.0.1:{port}")
    try:
        until = time.monotonic() + 60
        while not client.ready():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.1)
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(30)
