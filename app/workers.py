"""Serving: in this process, or in several that accept from one port.

    Supervisor --listener, settings--> worker processes, each a whole server
               <--ready, or why not---

A worker that dies is replaced; SIGTERM and SIGINT are passed on and every worker drains. A
worker whose supervisor has died drains as well. Workers share nothing but the port and the
session store, so any of them serves any session.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType

from app.api.server import GracefulServer, server_config
from app.core.errors import ConfigurationError, RnnserveError
from app.main import Application, compose, version
from app.sessions.stores import shown
from app.settings import Settings
from app.telemetry.logging import configure_logging

logger = logging.getLogger(__name__)

_POLL_S = 0.1
# A worker that ended sooner than this is replaced only after as long.
_RESTART_S = 1.0


def serve_here(
    settings: Settings,
    listener: socket.socket,
    announce: Callable[[str], None],
    *,
    supervised: bool = False,
) -> None:
    """Serve until a signal, then drain.

    Args:
        settings: all of them.
        listener: bound.
        announce: told what is served once requests are accepted.
        supervised: leave Ctrl-C, which every process of a terminal gets, to the supervisor.

    Raises:
        RnnserveError: a bundle, the device or the session store cannot be used.
    """
    application = compose(settings)
    text = greeting(application, settings, listener.getsockname()[1])
    config = server_config(application.asgi, settings.limits)
    server = GracefulServer(config, application.drain, lambda: announce(text), deaf_to_interrupt=supervised)
    server.run(sockets=[listener])


def greeting(application: Application, settings: Settings, port: int) -> str:
    """Where the server listens and what it serves, for people."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    lines = [f"rnnserve {version()} on http://{host}:{port}  (docs at /docs, Ctrl-C ends)"]
    for one in application.loaded:
        manifest = one.deployment.manifest
        default = "default" if application.defaults.get(manifest.task) == manifest.reference else ""
        lines.append(
            f"  {manifest.task:<10} {manifest.reference:<28} {manifest.network.cell:<5} "
            f"{settings.device:<5} {one.load_seconds:5.2f} s  {default}".rstrip()
        )
    store = settings.session_store
    kept = "off" if store is None else f"{shown(store)} ({settings.durability})"
    workers = f"  {settings.workers} worker processes" if settings.workers > 1 else ""
    return "\n".join([*lines, f"  sessions   {kept}{workers}"])


@dataclass(slots=True, eq=False)
class _Worker:
    process: SpawnProcess
    news: Connection
    started: float


class Supervisor:
    """Keeps ``settings.workers`` processes serving.

    Args:
        settings: all of them.
        listener: bound; every worker accepts from it.
        announce: told what is served once all workers accept requests.
    """

    def __init__(self, settings: Settings, listener: socket.socket, announce: Callable[[str], None]) -> None:
        store = settings.session_store
        if store is not None and store.startswith("memory:"):
            raise ConfigurationError(
                "--workers: sessions in memory cannot be shared by several processes; "
                "choose lmdb or redis with --sessions, or off"
            )
        self._settings = settings
        self._listener = listener
        self._announce = announce
        self._context = multiprocessing.get_context("spawn")
        # No worker has the writing end, so the reading end says when this process has gone.
        self._alive, self._end = self._context.Pipe(duplex=False)
        self._workers: list[_Worker] = []
        self._signals = 0
        self._passed_on = 0

    def run(self) -> None:
        """Serve until a signal; returns when every worker has ended.

        Raises:
            RnnserveError: the first worker could not start, with its reason.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        try:
            # Alone at first: what is wrong is said once.
            self._workers.append(self._start())
            text = self._ready(self._workers[0])
            while text is not None and len(self._workers) < self._settings.workers:
                self._workers.append(self._start())
            for worker in self._workers[1:]:
                if text is not None:
                    text = self._ready(worker)
            if text is not None:
                self._announce(text)
            while not self._signals:
                self._replace()
                wait([worker.process.sentinel for worker in self._workers], timeout=_POLL_S)
        finally:
            self._signals = max(1, self._signals)
            self._stop()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _start(self) -> _Worker:
        news, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_work, args=(self._settings, self._listener, sender, self._alive), name="rnnserve-worker"
        )
        process.start()
        sender.close()
        return _Worker(process, news, time.monotonic())

    def _ready(self, worker: _Worker) -> str | None:
        """What a worker says when it accepts requests; ``None`` when a signal came first."""
        while not self._signals:
            if worker.news.poll(_POLL_S):
                try:
                    ok, text = worker.news.recv()
                except EOFError:
                    raise ConfigurationError(
                        f"a worker process ended while it started, with status {_status(worker)}"
                    ) from None
                if not ok:
                    raise ConfigurationError(text)
                return str(text)
        return None

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
            self._workers[place] = self._start()

    def _stop(self) -> None:
        """Pass every signal on, until all workers have ended."""
        while any(worker.process.is_alive() for worker in self._workers):
            if self._passed_on < self._signals:
                self._passed_on = self._signals
                for worker in self._workers:
                    if worker.process.is_alive():
                        worker.process.terminate()
            wait([worker.process.sentinel for worker in self._workers], timeout=_POLL_S)


def _status(worker: _Worker) -> int | None:
    worker.process.join(1.0)
    return worker.process.exitcode


def _work(settings: Settings, listener: socket.socket, news: Connection, supervisor: Connection) -> None:
    """A worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_logging(settings.log_level, settings.log_format)
    threading.Thread(target=_end_with, args=(supervisor,), daemon=True).start()
    try:
        serve_here(settings, listener, lambda text: news.send((True, text)), supervised=True)
    except RnnserveError as error:
        with contextlib.suppress(OSError):
            news.send((False, error.message))
        sys.exit(2)


def _end_with(supervisor: Connection) -> None:
    """Drain when the supervisor has gone without a word."""
    with contextlib.suppress(EOFError, OSError):
        supervisor.recv_bytes()
    os.kill(os.getpid(), signal.SIGTERM)
