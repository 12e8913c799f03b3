"""A real server process to measure: start, ready, CPU seconds, memory, end."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from pathlib import Path

from benchmarks.processes import Subject

_URL = re.compile(r"on (http://\S+)")
TREE = Path(os.environ.get("BENCHMARK_TREE") or Path(__file__).parent.parent)
"""The checkout whose server is measured; ``BENCHMARK_TREE`` names another, to compare two."""


class Server(Subject):
    """``rnnserve serve`` on a free port; a context manager.

    Args:
        models: folder of bundles.
        flags: further flags, ``state_dir=path`` for ``--state-dir path``.

    Attributes:
        ready_s: seconds from the start of the process until it listens.
    """

    def __init__(self, models: Path, **flags: object) -> None:
        command = [sys.executable, "-m", "app", "serve", "--models", str(models.resolve()), "--port", "0"]
        for name, value in flags.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        self.url = ""
        self._announced = threading.Event()
        super().__init__(command, cwd=TREE)
        until = time.perf_counter() + 300
        while not self._announced.wait(0.05) and time.perf_counter() < until:
            if self.process.poll() is not None:
                break
        if not self.url:
            self.kill()
            raise RuntimeError("the server did not start:\n" + self.log)
        self.ready_s = time.perf_counter() - self.started

    @property
    def websocket(self) -> str:
        """Its address for WebSockets."""
        return self.url.replace("http", "ws", 1)

    def rss_mb(self) -> float:
        """Resident memory that no file backs."""
        return self.memory().anonymous

    def __enter__(self) -> Server:
        return self

    def _seen(self, line: str) -> None:
        match = _URL.search(line)
        if match:
            self.url = match[1]
            self._announced.set()
