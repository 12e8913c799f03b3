"""A copy of a process that has loaded the application: loading it takes longer than most tests do."""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, TextIO


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["app.__main__", "app.main", __name__])
    return context


def _run(
    output: Any, errors: Any, program: str, arguments: list[str], environment: dict[str, str], folder: str
) -> None:
    """``python -m`` a program in a session of its own, as a new process would run it."""
    gc.freeze()  # as app.__main__ does
    os.setsid()
    if output is not None:
        os.dup2(output.detach(), sys.stdout.fileno())
    os.dup2(errors.detach(), sys.stderr.fileno())
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    sys.argv = ["rnnserve", *arguments]
    importlib.import_module(program).main()


def completed(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, timeout_s: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """What :func:`subprocess.run` gives of ``python -m app``, with what it wrote."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        written = DupFd(output.fileno()), DupFd(errors.fileno())
        given = (*written, "app.__main__", list(arguments), dict(environment), str(folder))
        process = _context().Process(target=_run, args=given)
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(["rnnserve", *arguments], timeout_s)
        output.seek(0)
        errors.seek(0)
        texts = output.read().decode(), errors.read().decode()
    return subprocess.CompletedProcess(["rnnserve", *arguments], process.exitcode, *texts)


class ForkedProcess:
    """What this module uses of :class:`subprocess.Popen`, for ``python -m app``.

    Args:
        arguments: of the command.
        environment: whole.
        folder: where it runs.
        program: the module whose ``main`` runs.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        program: str = "app.__main__",
    ) -> None:
        reading, writing = os.pipe()
        self.stderr: TextIO = os.fdopen(reading, encoding="utf-8", errors="replace")
        given = (None, DupFd(writing), program, list(arguments), dict(environment), str(folder))
        self._process = _context().Process(target=_run, args=given)
        self._process.start()
        os.close(writing)
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout_s: float) -> int:
        self._process.join(timeout_s)
        status = self._process.exitcode
        if status is None:
            raise subprocess.TimeoutExpired("python -m app", timeout_s)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        # It is the fork server's child: once it has ended, nobody keeps its number for us.
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
