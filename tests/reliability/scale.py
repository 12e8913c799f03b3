"""``deploy/scale_local.py`` as a process: replicas behind HAProxy, and what it says they do."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.deploy.balancer import haproxy
from tests.deploy.manifests import DEPLOY

_SCRIPT = DEPLOY / "scale_local.py"
_START_S = 60.0


@dataclass(frozen=True)
class Line:
    """What it wrote, by whom, and what :attr:`Scale.watch` gave at that moment."""

    who: str
    text: str
    watched: int


class Scale:
    """The script on free ports; a context manager that ends it. The test is skipped without HAProxy.

    Args:
        models: folder to serve.
        folder: of its store.
        variables: of both replicas.

    Attributes:
        watch: read whenever it writes a line.
    """

    def __init__(self, models: Path, folder: Path, **variables: str) -> None:
        haproxy()
        self.watch: Callable[[], int] = lambda: 0
        self.lines: list[Line] = []
        self._folder = folder
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RNNSERVE_")}
        # HAProxy may be where only root's path leads.
        self._process = subprocess.Popen(
            [sys.executable, _SCRIPT, "--port", "0", "--models", str(models), "--folder", str(folder)],
            env={**environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def log(self) -> str:
        """All that it wrote."""
        return "\n".join(f"{line.who} | {line.text}" for line in self.lines)

    @property
    def url(self) -> str:
        """Of the load balancer."""
        (found,) = re.findall(r"^scale \| rnnserve on (\S+)", self.log, re.MULTILINE)
        return str(found)

    def pids(self, who: str) -> list[int]:
        """Of every process of that name so far."""
        return [int(text) for text in re.findall(rf"^{who} \| started, pid (\d+)$", self.log, re.MULTILINE)]

    def at(self, who: str, text: str, after: int = 0) -> int:
        """Place of the first such line, not before a place."""
        for place in range(after, len(self.lines)):
            if (self.lines[place].who, self.lines[place].text) == (who, text):
                return place
        raise AssertionError(f"{who} did not say {text!r}:\n{self.log}")

    async def rolling_restart(self) -> str:
        """As a user does it; what the command said."""
        command = [sys.executable, str(_SCRIPT), "--rolling-restart", "--folder", str(self._folder)]
        asked = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        said, _ = await asyncio.wait_for(asked.communicate(), 120)
        assert asked.returncode == 0, self.log
        return said.decode()

    def hang_up(self) -> None:
        """SIGHUP to the script."""
        self._process.send_signal(signal.SIGHUP)

    async def until(self, who: str, text: str, after: int = 0) -> int:
        """Wait for a line; its place."""
        end = time.monotonic() + _START_S
        while time.monotonic() < end and self._process.poll() is None:
            await asyncio.sleep(0.02)
            if any((line.who, line.text) == (who, text) for line in self.lines[after:]):
                break
        return self.at(who, text, after)

    def interrupt(self) -> int:
        """Ctrl-C, and the exit status."""
        self._process.send_signal(signal.SIGINT)
        status = self._process.wait(60)
        self._reader.join(10)
        return status

    def __enter__(self) -> Scale:
        end = time.monotonic() + _START_S
        while not any(line.text.startswith("kill -HUP") for line in self.lines):
            assert self._process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._process.poll() is None:
                self._process.terminate()
                self._process.wait(60)
        finally:
            # What a script that hangs leaves behind.
            for who in ("load-balancer", "replica-one", "replica-two", "store"):
                for pid in self.pids(who):
                    if Path(f"/proc/{pid}").exists():
                        os.killpg(pid, signal.SIGKILL)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait(10)
            assert self._process.stdout is not None
            self._reader.join(10)
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            who, _, text = line.rstrip("\n").partition("|")
            self.lines.append(Line(who.strip(), text.strip(), self.watch()))
