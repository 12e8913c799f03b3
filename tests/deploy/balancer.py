"""A real HAProxy with the configuration of ``deploy/load-balancer``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import httpx2

from tests.deploy.manifests import DEPLOY, program

FOLDER = DEPLOY / "load-balancer"


def haproxy() -> str:
    """The program; the test is skipped without it."""
    return program("haproxy", "Debian: apt install haproxy")


def free_address() -> str:
    """An address of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


class Balancer:
    """HAProxy before two replicas; a context manager that ends it.

    Args:
        replicas: two addresses, HOST:PORT.
        log: file for what it writes.
        extra: further configuration files.
    """

    def __init__(self, replicas: Sequence[str], log: Path, *extra: Path) -> None:
        self.address, self.status = free_address(), free_address()
        self._log = log
        first, second = replicas
        environment = {
            **os.environ,
            "LB_LISTEN": self.address,
            "LB_STATUS": self.status,
            "REPLICA_1": first,
            "REPLICA_2": second,
        }
        files = [FOLDER / "haproxy.cfg", FOLDER / "replicas-two.cfg", *extra]
        command = [haproxy(), "-db", *(part for file in files for part in ("-f", str(file)))]
        with log.open("w") as output:
            self._process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"http://{self.address}"

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self._log.read_text()

    def client(self, timeout_s: float = 60.0) -> httpx2.Client:
        """An HTTP client for it."""
        return httpx2.Client(base_url=self.url, timeout=timeout_s)

    def serving(self) -> int:
        """How many replicas it holds for ready, by its own metrics."""
        text = httpx2.get(f"http://{self.status}/metrics", timeout=10).text
        name = 'haproxy_backend_active_servers{proxy="replicas"}'
        (line,) = [line for line in text.splitlines() if line.startswith(name)]
        return int(float(line.rsplit(" ", 1)[1]))

    def wait_for(self, replicas: int, timeout_s: float = 20.0) -> None:
        """Block until it holds so many replicas for ready."""
        until = time.monotonic() + timeout_s
        while True:
            assert self._process.poll() is None, self.log
            try:
                if self.serving() == replicas:
                    return
            except httpx2.TransportError:
                pass
            assert time.monotonic() < until, self.log
            time.sleep(0.05)

    def stop(self) -> int:
        """Let what runs end, and return the exit status."""
        self._process.send_signal(signal.SIGUSR1)
        return self._process.wait(40)

    def __enter__(self) -> Balancer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)
