"""Several processes that accept from one port.

A worker that dies, or is not heard of for a while, is replaced; SIGTERM and SIGINT are passed on and every
worker drains. A worker whose supervisor has died drains as well.

On Linux workers are forked: what the supervisor has imported is theirs at once, and in memory only once. It
runs no threads of its own, loads no model and opens no store, so there is nothing that a copy could break.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

from app.core.errors import ConfigurationError, RnnserveError
from app.registry.background import leave
from app.registry.unloaded import Siblings, UnloadedNames
from app.settings import Settings
from app.startup import serve_here
from app.telemetry.logging import configure_logging
from app.telemetry.sharing import Share, SharedFolder

logger = logging.getLogger(__name__)

# Elsewhere a copy of a process may not use what the system's libraries have started in it.
_FORKS = sys.platform == "linux"
_CONTEXT = multiprocessing.get_context("fork") if _FORKS else multiprocessing.get_context("spawn")
_PASSED_ON = {signal.SIGTERM, signal.SIGINT}
_POLL_S = 0.1
# A worker that ended sooner than this is replaced only after as long.
_RESTART_S = 1.0
_BEAT_S = 1.0
_SILENCE_S = 15.0
"""After which a worker that has been ready is killed: it was stopped, or something holds its event loop."""


class Board:
    """Numbers that workers and supervisor share, so that none of them ever waits for another.

    They are the heartbeats, in monotonic seconds, and behind them whether all workers have been ready; and
    how many connections each has.
    """

    def __init__(self, num_workers: int) -> None:
        self._numbers = _CONTEXT.RawArray("d", num_workers + 1)
        self._open = _CONTEXT.RawArray("d", num_workers)

    def heartbeat(self, place: int) -> float:
        return float(self._numbers[place])

    def beat(self, place: int) -> None:
        """Beat now and from now on; on the event loop, so that one that stands still is noticed."""
        self._numbers[place] = time.monotonic()
        asyncio.get_running_loop().call_later(_BEAT_S, self.beat, place)

    def ahead(self, place: int, num_open: int) -> bool:
        """Note how many connections a worker has; whether one whose heart beats has fewer."""
        self._open[place], heard = num_open, time.monotonic() - 2 * _BEAT_S
        return any(
            num < num_open and beat > heard for num, beat in zip(self._open, self._numbers, strict=False)
        )

    def open(self) -> None:
        self._numbers[-1] = 1.0

    def opened(self) -> bool:
        return bool(self._numbers[-1])


@dataclass(slots=True, eq=False)
class _Worker:
    process: BaseProcess
    news: Connection
    started: float
    greeting: str | None = None
    """Once it is ready."""


class Supervisor:
    """Keeps ``settings.workers`` processes serving.

    ``announce`` is told what is served once all of them accept requests.
    """

    def __init__(
        self, settings: Settings, listeners: Sequence[socket.socket], announce: Callable[[str], None]
    ) -> None:
        store = settings.session_store
        if store is not None and store.startswith("memory:"):
            raise ConfigurationError(
                "--workers: sessions in memory cannot be shared by several processes; "
                "choose lmdb or redis with --sessions, or off"
            )
        self._settings = settings
        self._listeners = tuple(listeners)
        self._announce = announce
        # No worker keeps the writing end, so the reading end says when this process has gone.
        self._alive, self._end = _CONTEXT.Pipe(duplex=False)
        self._workers: list[_Worker] = []
        self._metrics = SharedFolder(settings.workers)
        self._signals = 0
        self._hangups = 0
        self._board = Board(settings.workers)
        self._looked = self._awake_since = time.monotonic()

    def run(self) -> None:
        """Serve until a signal; raises ConfigurationError when the first worker could not start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        signal.signal(signal.SIGHUP, self._note_hangup)
        try:
            # Alone at first: what is wrong is said once.
            first = self._start(0)
            self._workers.append(first)
            while not self._signals and first.greeting is None:
                failure = self._hear(first, _POLL_S)
                if failure is not None:
                    raise ConfigurationError(failure)
            while not self._signals:
                while len(self._workers) < self._settings.workers:
                    self._workers.append(self._start(len(self._workers)))
                self._tend()
                self._pass_hangups_on()
                wait([worker.process.sentinel for worker in self._workers], timeout=_POLL_S)
        finally:
            self._signals = max(1, self._signals)
            with self._metrics:
                self._stop()

    def _tend(self) -> None:
        for worker in self._workers:
            if worker.greeting is None and worker.process.is_alive():
                failure = self._hear(worker, 0.0)
                if failure is not None:
                    logger.error("worker %s could not start: %s", worker.process.pid, failure)
        if not self._board.opened() and all(worker.greeting is not None for worker in self._workers):
            self._board.open()
            self._announce(str(self._workers[0].greeting))
        self._kill_silent()
        self._replace()

    def _hear(self, worker: _Worker, seconds: float) -> str | None:
        """Wait for what a worker says when it accepts requests; why it will not."""
        if not worker.news.poll(seconds):
            return None
        try:
            good, text = worker.news.recv()
        except EOFError:
            return f"a worker process ended while it started, with status {_status(worker)}"
        if not good:
            return str(text)
        worker.greeting = str(text)
        return None

    def _kill_silent(self) -> None:
        now = time.monotonic()
        if now - self._looked > _SILENCE_S / 2:
            self._awake_since = now  # this process was stopped, and the others perhaps with it
        self._looked = now
        for place, worker in enumerate(self._workers):
            heard = max(self._board.heartbeat(place), self._awake_since)
            if worker.greeting is not None and now - heard > _SILENCE_S and worker.process.is_alive():
                logger.error("worker %s has not moved for %g s and is killed", worker.process.pid, _SILENCE_S)
                worker.process.kill()
                worker.process.join(_RESTART_S)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _note_hangup(self, number: int, frame: FrameType | None) -> None:
        self._hangups += 1

    def _pass_hangups_on(self) -> None:
        if self._hangups:
            self._hangups = 0
            for worker in self._workers:
                if worker.process.is_alive() and worker.process.pid is not None:
                    os.kill(worker.process.pid, signal.SIGHUP)

    def _start(self, place: int) -> _Worker:
        news, sender = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(
            target=_work,
            args=(
                self._settings,
                self._listeners,
                sender,
                self._alive,
                self._end if _FORKS else None,
                self._metrics.path,
                self._board,
                place,
            ),
            name="rnnserve-worker",
        )
        # A worker inherits this: SIGHUP waits until it can be heard, and ends nothing; the others wait until
        # they end the worker instead of being noted as they are here.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, *_PASSED_ON})
        process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        sender.close()
        return _Worker(process, news, time.monotonic())

    def _replace(self) -> None:
        for place, worker in enumerate(self._workers):
            if worker.process.is_alive():
                continue
            logger.error(
                "worker %s ended with status %s; it is replaced", worker.process.pid, _status(worker)
            )
            lived = time.monotonic() - worker.started
            if lived < _RESTART_S:
                time.sleep(_RESTART_S - lived)
            worker.news.close()
            self._metrics.bury(place)
            self._workers[place] = self._start(place)

    def _stop(self) -> None:
        """Pass every signal on, until all workers have ended."""
        passed_on = 0
        while any(worker.process.is_alive() for worker in self._workers):
            if passed_on < self._signals:
                passed_on = self._signals
                for worker in self._workers:
                    if worker.process.is_alive():
                        worker.process.terminate()
            self._kill_silent()
            wait([worker.process.sentinel for worker in self._workers], timeout=_POLL_S)


def _status(worker: _Worker) -> int | None:
    worker.process.join(1.0)
    return worker.process.exitcode


def _work(
    settings: Settings,
    listeners: Sequence[socket.socket],
    news: Connection,
    supervisor: Connection,
    inherited: Connection | None,
    metrics: Path,
    board: Board,
    place: int,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    if inherited is not None:
        inherited.close()
    configure_logging(settings.log_level, settings.log_format)
    threading.Thread(target=_end_with, args=(supervisor,), daemon=True).start()
    share, parent = Share(metrics, place), os.getppid()

    def announce(text: str) -> None:
        board.beat(place)
        news.send((True, text))

    status = 0
    try:
        serve_here(
            settings,
            listeners,
            announce,
            share,
            Siblings(
                UnloadedNames(metrics / "unloaded.json"),
                partial(_hang_up, parent),
                board.opened,
                partial(board.ahead, place),
            ),
        )
    except RnnserveError as error:
        with contextlib.suppress(OSError):
            news.send((False, error.message))
        status = 2
    finally:
        if os.getppid() != parent:
            share.abandon()
    leave(status)


def _hang_up(supervisor: int) -> None:
    """Have every worker look for models, unless the supervisor has gone and its number is another's."""
    if os.getppid() == supervisor:
        os.kill(supervisor, signal.SIGHUP)


def _end_with(supervisor: Connection) -> None:
    """Drain when the supervisor has gone without a word."""
    with contextlib.suppress(EOFError, OSError):
        supervisor.recv_bytes()
    os.kill(os.getpid(), signal.SIGTERM)
