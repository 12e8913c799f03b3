"""Bundles to put into models folders, and the answers that tell one version from another."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from websockets.sync.client import connect

from tests.e2e.server import ServerProcess

ASK: dict[str, Any] = {"prompt": "a good", "max_tokens": 12, "seed": 7}
"""A generation whose text differs between the versions of ``text``."""


@dataclass(frozen=True)
class Shelf:
    """Bundles that no server looks at: ``text`` in three versions, ``mood`` and ``series`` in one."""

    folder: Path

    def path(self, name: str, version: str) -> Path:
        """Of one bundle."""
        return self.folder / name / version

    def put(self, models: Path, name: str, version: str) -> Path:
        """Copy a bundle into a models folder so that it appears whole."""
        target = models / name / version
        staging = models / name / f".putting-{version}"
        shutil.copytree(self.path(name, version), staging)
        staging.rename(target)
        return target

    def take(self, models: Path, name: str, version: str) -> None:
        """Remove a bundle from a models folder."""
        hidden = models / name / f".taking-{version}"
        (models / name / version).rename(hidden)
        shutil.rmtree(hidden)


def until(
    ready: Callable[[], bool], what: str, timeout_s: float = 30.0, server: ServerProcess | None = None
) -> None:
    """Block until something holds."""
    end = time.monotonic() + timeout_s
    while not ready():
        log = "" if server is None else f"\n{server.log}"
        assert time.monotonic() < end, f"{what} did not happen{log}"
        time.sleep(0.05)


def states(client: httpx2.Client) -> dict[str, str]:
    """``name@version`` to status, as ``GET /models`` lists them."""
    return {
        f"{one['name']}@{one['version']}": one["status"] for one in client.get("/models").json()["models"]
    }


def entry(client: httpx2.Client, reference: str) -> dict[str, Any]:
    """One line of ``GET /models``."""
    (found,) = [
        one
        for one in client.get("/models").json()["models"]
        if f"{one['name']}@{one['version']}" == reference
    ]
    return dict(found)


def text_of(client: httpx2.Client, model: str | None = None, **more: Any) -> tuple[str, str]:
    """Which version answered :data:`ASK`, and with what."""
    answer = client.post("/generate", json=ASK | ({} if model is None else {"model": model}) | more)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return body["model"], body["choices"][0]["text"]


def gives(client: httpx2.Client, reference: str) -> Callable[[], bool]:
    """Whether unpinned requests get this version."""
    return lambda: text_of(client)[0] == reference


@dataclass
class Traffic:
    """Requests and streams that run all the time; what they were answered.

    Attributes:
        answers: which version answered, and with what text.
        failures: what was no good answer, as it came.
    """

    server: ServerProcess
    answers: list[tuple[str, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def running(self, plain: int = 3, streams: int = 2) -> Iterator[Traffic]:
        """Ask until the block ends."""
        stop = threading.Event()
        with ThreadPoolExecutor(plain + streams) as pool:
            work = [pool.submit(self._ask, stop) for _ in range(plain)]
            work += [pool.submit(self._stream, stop) for _ in range(streams)]
            try:
                yield self
            finally:
                stop.set()
            for one in work:
                one.result(60)

    def _ask(self, stop: threading.Event) -> None:
        with self.server.client() as client:
            while not stop.is_set():
                answer = client.post("/generate", json=ASK)
                if answer.status_code != 200:
                    self.failures.append(answer.text)
                    continue
                body = answer.json()
                self.answers.append((body["model"], body["choices"][0]["text"]))

    def _stream(self, stop: threading.Event) -> None:
        with connect(self.server.websocket) as socket:
            while not stop.is_set():
                socket.send(json.dumps(ASK))
                text = ""
                while (frame := json.loads(socket.recv(60)))["type"] == "token":
                    text += frame["text"]
                if frame["type"] == "done":
                    self.answers.append((frame["model"], text))
                else:
                    self.failures.append(json.dumps(frame))


def engine_threads(pid: int) -> list[str]:
    """Names of a process's engine threads, as far as the system keeps them."""
    tasks = Path(f"/proc/{pid}/task")
    names = []
    for task in os.listdir(tasks):
        try:
            names.append((tasks / task / "comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return sorted(names)
