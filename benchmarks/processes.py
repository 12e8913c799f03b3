"""A process and everything it starts: CPU seconds, memory, end. Found by a mark in the environment.

Servers fork, daemonise and start sessions of their own; the environment is what all of them inherit.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from rnnserve_bench.http_line import HttpLine

_TICK = os.sysconf("SC_CLK_TCK")
_MARK = "BENCHMARK_SUBJECT"
_LOG_LINES = 400


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a tree of processes, in megabytes.

    Attributes:
        rss: resident, shared pages counted for each process.
        pss: resident, a shared page counted once in all.
        anonymous: resident and backed by no file.
    """

    rss: float
    pss: float
    anonymous: float


class Subject:
    """A command that serves; a context manager that ends it and all it started.

    Args:
        command: what to run.
        env: added to the environment.
        cwd: where to run it.
        scratch: whether it gets a folder of its own for temporary files, which goes with it. Some servers
            empty theirs, and some put sockets there, whose paths must be short.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        *,
        scratch: bool = False,
    ) -> None:
        self._mark = secrets.token_hex(8)
        self._scratch = tempfile.mkdtemp(prefix="bench-") if scratch else None
        own = {_MARK: self._mark} | ({"TMPDIR": self._scratch} if self._scratch else {})
        self.started = time.perf_counter()
        self._lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **(env or {}), **own},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        atexit.register(self.kill)
        _end_on_sigterm()

    @property
    def log(self) -> str:
        """The last of what it wrote."""
        return "".join(self._lines)

    def pids(self) -> list[int]:
        """Every process of the tree that runs now."""
        wanted = f"{_MARK}={self._mark}".encode()
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    if wanted in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                        found.append(int(entry))
        return found

    def cpu_s(self) -> float:
        """User and system seconds so far of the processes that run, and of children they have reaped."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += sum(int(field) for field in fields[11:15])
        return total / _TICK

    def memory(self) -> Memory:
        """What the tree holds now."""
        rss = pss = anonymous = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                rss += _kilobytes(text, "Rss")
                pss += _kilobytes(text, "Pss")
                anonymous += _kilobytes(text, "Anonymous")
        return Memory(rss / 1024, pss / 1024, anonymous / 1024)

    def end(self, grace_s: float = 20.0) -> None:
        """SIGTERM to the first process, then SIGKILL to whatever is left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole tree."""
        for _ in range(20):
            pids = self.pids()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            # Children become visible only after their fork; look once more.
            if not pids:
                break
            time.sleep(0.05)
        self.process.wait()
        self._reader.join(10)
        if not self._reader.is_alive() and self.process.stdout is not None:
            self.process.stdout.close()
        atexit.unregister(self.kill)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Subject:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._seen(line)
            self._lines.append(line)
            del self._lines[:-_LOG_LINES]

    def _seen(self, line: str) -> None:
        """A line that the process wrote."""


async def answers(subject: Subject, url: str, path: str, body: bytes, timeout_s: float = 120.0) -> bytes:
    """Wait until a request is answered with 200, and return that answer.

    Raises:
        RuntimeError: the process ended, or there was no such answer in time.
    """
    until = time.perf_counter() + timeout_s
    last = "no connection"
    while time.perf_counter() < until and subject.process.poll() is None:
        line = HttpLine(url)
        try:
            status, answer = await line.ask("POST", path, body)
            if status == 200:
                return answer
            last = f"status {status}: {answer[:300].decode(errors='replace')}"
        except (OSError, TimeoutError) as error:
            last = repr(error)
        finally:
            line.close()
        await asyncio.sleep(0.1)
    raise RuntimeError(f"{urlsplit(url).netloc}{path} does not answer ({last}):\n{subject.log}")


def _end_on_sigterm() -> None:
    """A benchmark that is told to end takes its servers with it."""
    here = threading.current_thread() is threading.main_thread()
    if here and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def _kilobytes(text: str, field: str) -> int:
    match = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) if match else 0
