"""What others notice of an attack: a neighbour that asks twice a second, and the server's memory.

python -m tests.reliability.neighbour PORT [KEY]    asks until its input ends, then prints what it saw
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.e2e.server import REPOSITORY, ServerProcess
from tests.security.raw import FORECAST, connect, post, read_answer

_EVERY_S = 0.5
_PATIENCE_S = 60.0
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Seen:
    """By one neighbour: questions, those that were not answered with 200, and the slowest answer."""

    asked: int
    failed: int
    worst_s: float


@dataclass(frozen=True, slots=True)
class Noticed:
    """Of an attack: by the neighbour, and the server's resident megabytes before, at most and afterwards."""

    seen: Seen
    before: float
    peak: float
    after: float


def main() -> None:
    """A process of its own, so that what the attacker computes is no delay of the server."""
    over = threading.Event()
    threading.Thread(target=_wait_for_end, args=(over,), daemon=True).start()
    headers = [f"x-api-key: {key}".encode() for key in sys.argv[2:]]
    asked, failed, worst = 0, 0, 0.0
    raw = None
    print("ready", flush=True)
    while not over.is_set():
        began = time.monotonic()
        asked += 1
        try:
            raw = raw or connect(int(sys.argv[1]), _PATIENCE_S)
            raw.sendall(post(FORECAST, *headers))
            with raw.makefile("rb") as stream:
                failed += read_answer(stream).status != 200
        except (OSError, EOFError):
            failed += 1
            raw = None
        took = time.monotonic() - began
        worst = max(worst, took)
        over.wait(max(0.0, _EVERY_S - took))
    print(json.dumps([asked, failed, worst]))


def _wait_for_end(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


def resident_mb(server: ServerProcess) -> float:
    """Of all its processes, without the pages of files."""
    total = 0
    for pid in (server.pid, *server.workers()):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1])
    return total / 1024


class Beside:
    """Watches a server while something is done to it; a context manager.

    Args:
        settle_s: how long the server has afterwards until its memory is looked at.
        key: of the neighbour.
    """

    def __init__(self, server: ServerProcess, settle_s: float = 1.0, key: str | None = None) -> None:
        self._server = server
        self._settle_s = settle_s
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._peak = 0.0
        command = [sys.executable, "-m", "tests.reliability.neighbour", str(server.port)]
        self._neighbour = subprocess.Popen(
            command if key is None else [*command, key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        self.noticed: Noticed | None = None

    def __enter__(self) -> Beside:
        assert self._neighbour.stdout is not None
        self._neighbour.stdout.readline()
        time.sleep(_EVERY_S)
        self._before = self._peak = resident_mb(self._server)
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        time.sleep(self._settle_s)
        self._over.set()
        self._watch.join()
        out, _ = self._neighbour.communicate()
        if error is None:
            seen = Seen(*json.loads(out))
            self.noticed = Noticed(seen, self._before, self._peak, resident_mb(self._server))

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            try:
                self._peak = max(self._peak, resident_mb(self._server))
            except OSError:
                continue  # a worker has just ended


if __name__ == "__main__":
    main()
