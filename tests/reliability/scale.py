"""``deploy/scale.conf`` under supervisor: replicas behind HAProxy, and what it says they do."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import httpx2

from tests.deploy.balancer import haproxy
from tests.deploy.manifests import DEPLOY, program
from tests.redis_server import find_binary

_START_S = 60.0


@dataclass(frozen=True)
class Line:
    """What was written, and what :attr:`Scale.watch` gave at that moment."""

    text: str
    watched: int


def free_ports() -> list[int]:
    """Seven, the last two pairs adjacent.

    They are not among those that the system gives to outgoing connections: a replica gets its port again
    when it is started again.
    """
    while True:
        first = random.randrange(20_000, 31_990)
        ports = list(range(first, first + 7))
        with suppress(OSError):
            for port in ports:
                socket.create_server(("127.0.0.1", port)).close()
            return ports


class Scale:
    """The processes on free ports; a context manager that ends them. The test is skipped without HAProxy.

    Args:
        models: folder to serve.
        folder: of the store, and of a copy of the configuration.
        variables: of both replicas.

    Attributes:
        watch: read whenever a line is written.
    """

    def __init__(self, models: Path, folder: Path, **variables: str) -> None:
        haproxy()
        supervisord = program("supervisord", "pip install supervisor")
        self.watch: Callable[[], int] = lambda: 0
        self.lines: list[Line] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._configuration = folder / "scale.conf"
        text = (DEPLOY / "scale.conf").read_text()
        # The path of a socket must be short.
        self._socket = Path("/tmp") / f"scale-{os.getpid()}-{random.randrange(10**9)}.sock"
        text = text.replace("%(here)s/scale.sock", str(self._socket))
        text = text.replace("%(here)s/scale.pid", str(folder / "pid")).replace("%(here)s", str(DEPLOY))
        self._configuration.write_text(text)
        balancer, status, store, base, *_ = free_ports()
        self.url = f"http://127.0.0.1:{balancer}"
        self._status = f"http://127.0.0.1:{status}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RNNSERVE_")}
        beside = f"{Path(supervisord).parent}:{find_binary('valkey').parent}"
        self._environment = {
            **environment,
            "PATH": f"{beside}:{environment['PATH']}",
            "PYTHON": sys.executable,
            "SCALE_CONF": str(self._configuration),
            "SCALE_FOLDER": str(folder),
            "LB_LISTEN": f"127.0.0.1:{balancer}",
            "LB_STATUS": f"127.0.0.1:{status}",
            "STORE_PORT": str(store),
            "REPLICA_PORT": str(base - 1),
            "ADMIN_PORT": str(base + 1),
            "RNNSERVE_MODELS": str(models),
            **variables,
        }
        self._process = subprocess.Popen(
            [supervisord, "-c", str(self._configuration)],
            cwd=folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def log(self) -> str:
        """All that was written."""
        return "\n".join(line.text for line in self.lines)

    def pids(self, who: str) -> list[int]:
        """Of every process of that name so far."""
        return [
            int(text) for text in re.findall(rf"spawned: '{who}' with pid (\d+)$", self.log, re.MULTILINE)
        ]

    def at(self, text: str, after: int = 0) -> int:
        """Place of the first line with such an end, not before a place."""
        for place in range(after, len(self.lines)):
            if self.lines[place].text.endswith(text):
                return place
        raise AssertionError(f"there is no {text!r}:\n{self.log}")

    async def rolling_restart(self) -> str:
        """As a user does it; what the command said."""
        command = ["sh", str(DEPLOY / "rolling-restart.sh")]
        asked = await asyncio.create_subprocess_exec(
            *command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await asyncio.wait_for(asked.communicate(), 120)
        assert asked.returncode == 0, said.decode() + self.log
        return said.decode()

    def all_up(self) -> bool:
        """Whether HAProxy holds both replicas for ready."""
        with suppress(httpx2.TransportError):
            text = httpx2.get(f"{self._status}/metrics", timeout=10).text
            return len(re.findall(r'^haproxy_server_status\{.*state="UP"\} 1', text, re.MULTILINE)) == 4
        return False

    def until_all_up(self) -> None:
        """Block until it does."""
        end = time.monotonic() + _START_S
        while not self.all_up():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.1)

    def interrupt(self) -> int:
        """Ctrl-C, and the exit status."""
        self._process.send_signal(signal.SIGINT)
        status = self._process.wait(60)
        self._reader.join(10)
        return status

    def __enter__(self) -> Scale:
        self.until_all_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._process.poll() is None:
                self._process.terminate()
                self._process.wait(100)
        finally:
            # What a supervisor that hangs leaves behind.
            for who in ("load-balancer", "replica-1", "replica-2", "store"):
                for pid in self.pids(who):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait(10)
            assert self._process.stdout is not None
            self._reader.join(10)
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(Line(line.rstrip(), self.watch()))
