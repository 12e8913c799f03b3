"""A real server process, started as a user starts it."""

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

import httpx2

from tests.e2e.forked import ForkedProcess

REPOSITORY = Path(__file__).parent.parent.parent
_PROGRAMS = {"tasks": "serve_tasks", "clock_ahead_s": "serve_ahead", "max_descriptors": "serve_few"}
_URL = re.compile(r"on (http://\S+:(\d+))")


class ServerProcess:
    """``rnnserve serve`` on a free port; a context manager that ends it with SIGTERM.

    Args:
        models: the folder to serve, or places by commas.
        flags: further flags, ``max_batch=3`` for ``--max-batch 3``; sessions are kept in memory
            unless they say otherwise. ``tasks`` names those to be registered, by commas; ``clock_ahead_s``
            makes its clock wrong, ``max_descriptors`` leaves it so few. ``forked=False`` where its memory
            is looked at: the pages of the process that it is copied from would count.
    """

    def __init__(self, models: Path | str, **flags: object) -> None:
        if not {"sessions", "state_dir"} & set(flags):
            flags["sessions"] = "memory:"
        # A clock has to be wrong before anything has looked at it.
        forked = flags.pop("forked", True) and "clock_ahead_s" not in flags
        program: str = "app.__main__"
        given: list[str] = []
        for name, module in _PROGRAMS.items():
            if name in flags:
                program, given = f"tests.{module}", [str(flags.pop(name))]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RNNSERVE_")}
        command = [*given, "serve", "--models", str(models), "--port", "0"]
        for name, value in flags.items():
            flag = f"--{name.replace('_', '-')}"
            command += [flag] if value is True else [flag, str(value)]
        self._process: subprocess.Popen[str] | ForkedProcess
        if forked:
            self._process = ForkedProcess(command, environment, REPOSITORY, program)
        else:
            self._process = subprocess.Popen(
                [sys.executable, "-m", program, *command],
                cwd=REPOSITORY,
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        self._lines: list[str] = []
        self._url: str | None = None
        self._announced = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def workers(self) -> list[int]:
        """Process ids of its workers, oldest first."""
        found = []
        own = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            with contextlib.suppress(OSError):  # it has ended since
                if Path(f"/proc/{child}/cmdline").read_bytes() == own:
                    found.append(int(child))
        return sorted(found)

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return "".join(self._lines)

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._url is not None
        return self._url

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def websocket(self) -> str:
        """Address of the generation socket."""
        return self.url.replace("http", "ws", 1) + "/generate"

    def wait_for_log(self, text: str, timeout_s: float = 10.0) -> None:
        """Block until it has written this: what it did may be seen before what it says of it."""
        until = time.monotonic() + timeout_s
        while text not in self.log:
            assert time.monotonic() < until, f"{text!r} is not in the log:\n{self.log}"
            time.sleep(0.02)

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Block until it answers."""
        self._announced.wait(timeout_s)
        assert self._url is not None, f"the server did not start:\n{self.log}"

    def client(self, timeout_s: float = 60.0) -> httpx2.Client:
        """An HTTP client for it."""
        return httpx2.Client(base_url=self.url, timeout=timeout_s)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait for its end and return the exit status."""
        status = self._process.wait(timeout_s)
        self._reader.join(timeout_s)
        return status

    def kill(self) -> None:
        """End every process of it as ``kill -9`` does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        try:
            self.wait()
        finally:
            self._close()

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        with self.client() as client:
            text = client.get("/metrics").text
        total = 0.0
        for line in text.splitlines():
            if line.startswith((f"{name} ", f"{name}{{")) and all(
                f'{k}="{v}"' in line for k, v in labels.items()
            ):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def wait_for_metric(self, name: str, value: float, timeout_s: float = 10.0, **labels: str) -> None:
        """Block until a metric has a value."""
        until = time.monotonic() + timeout_s
        while (found := self.metric(name, **labels)) != value:
            assert time.monotonic() < until, f"{name} stays at {found}, not {value}"
            time.sleep(0.02)

    def __enter__(self) -> ServerProcess:
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.wait()
            raise AssertionError(f"the server did not end on SIGTERM:\n{self.log}") from error
        finally:
            self._close()

    def _close(self) -> None:
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line)
            found = _URL.search(line)
            if found and self._url is None:
                self._url = found[1]
                self._announced.set()
        self._announced.set()
