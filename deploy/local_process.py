"""Processes that are kept running in the foreground, each line of theirs marked with its writer's name."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

_READY_S = 120.0
_LOOK_S = 0.1
_AGAIN_S = 1.0


class Trouble(Exception):
    """Why it cannot start or go on, for people."""


def say(text: str, who: str = "scale") -> None:
    """A line, with whose it is."""
    print(f"{who:<13} | {text}", flush=True)


class Part:
    """A process that is started again when it ends by itself.

    Attributes:
        num_failures: how often it has done so.

    Args:
        name: before each of its lines.
        command: what to run.
        variables: added to the environment.
        folder: where it runs.
        stop_s: seconds after which an end is enforced.
        keeps: descriptors that it inherits.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        variables: Mapping[str, str],
        folder: Path,
        stop_s: float,
        keeps: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.num_failures = 0
        self._command = command
        self._environment = {**os.environ, **variables}
        self._folder = folder
        self._stop_s = stop_s
        self._keeps = tuple(keeps)
        self._wanted = False
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[int] | None = None

    def start(self) -> None:
        """Begin; it may take a while until it serves."""
        self._wanted = True
        self._keeper = asyncio.create_task(self._keep())

    def retire(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, for good."""
        self._wanted = False
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def ends_within(self, seconds: float) -> bool:
        """Wait for the end of what was asked to; whether it came."""
        if self._keeper is not None:
            await asyncio.wait([self._keeper], timeout=seconds)
        return self._keeper is None or self._keeper.done()

    def kill(self) -> None:
        """End all of its processes now."""
        if self._process is not None and self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    async def stop(self) -> int:
        """Let it end, and return its exit status: 0 when it never ran, less than 0 when it was killed."""
        if self._keeper is None:
            return 0
        if self._wanted:
            self.retire()
        if not await self.ends_within(self._stop_s):
            say(f"still runs after {self._stop_s:g} s, and is killed", self.name)
            self.kill()
        status = await self._keeper
        self._keeper = None
        say(f"ended with status {status}", self.name)
        return status

    async def _keep(self) -> int:
        while True:
            # Ctrl-C reaches every process of a terminal's group; who ends first is decided here.
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=self._environment,
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self._keeps,
            )
            say(f"started, pid {process.pid}", self.name)
            if not self._wanted:
                process.terminate()
            reading = asyncio.create_task(self._copy_lines(process))
            status = await process.wait()
            await asyncio.wait([reading], timeout=1)
            reading.cancel()
            if self._wanted:
                self.num_failures += 1
                say(f"ended by itself with status {status}, and is started again", self.name)
                await asyncio.sleep(_AGAIN_S)
            if not self._wanted:
                return status

    async def _copy_lines(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            say(line.decode(errors="replace").rstrip(), self.name)


async def until(what: str, holds: Callable[[], Awaitable[bool]], part: Part) -> None:
    """Wait for something that a process is to bring about; asking for it may fail.

    Raises:
        Trouble: it does not come about, or the process ends.
    """
    end = time.monotonic() + _READY_S
    before = part.num_failures
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if await holds():
                return
        if part.num_failures > before:
            raise Trouble(f"{part.name} ends by itself")
        await asyncio.sleep(_LOOK_S)
    raise Trouble(f"waited {_READY_S:g} s in vain: {what}")
