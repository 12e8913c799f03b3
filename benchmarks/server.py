"""A real server process to measure: start, ready, CPU seconds, memory, end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

_URL = re.compile(r"on (http://\S+)")
_TICK = os.sysconf("SC_CLK_TCK")


class Server:
    """``rnnserve serve`` on a free port; a context manager.

    Args:
        models: folder of bundles.
        flags: further flags, ``state_dir=path`` for ``--state-dir path``.

    Attributes:
        ready_s: seconds from the start of the process to its first answer.
    """

    def __init__(self, models: Path, **flags: object) -> None:
        command = [sys.executable, "-m", "app", "serve", "--models", str(models), "--port", "0"]
        for name, value in flags.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        started = time.perf_counter()
        # A group of its own, so that workers die with it.
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.url = ""
        self._lines: list[str] = []
        announced = threading.Event()

        def read() -> None:
            assert self.process.stderr is not None
            with self.process.stderr as lines:
                for line in lines:
                    self._lines.append(line)
                    match = _URL.search(line)
                    if match:
                        self.url = match[1]
                        announced.set()
            announced.set()

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()
        announced.wait(300)
        if not self.url:
            raise RuntimeError("the server did not start:\n" + "".join(self._lines))
        self.ready_s = time.perf_counter() - started

    @property
    def websocket(self) -> str:
        """Its address for WebSockets."""
        return self.url.replace("http", "ws", 1)

    def cpu_s(self) -> float:
        """User and system seconds of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def rss_mb(self) -> float:
        """Resident memory; pages of a mapped store count while they are in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        anonymous = re.search(r"RssAnon:\s+(\d+)", status)
        assert anonymous is not None
        return int(anonymous[1]) / 1024

    def kill(self) -> None:
        """``kill -9`` of the process and its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._end()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        self._end()

    def _end(self) -> None:
        self.process.wait()
        self._reader.join(10)
