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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType

from app.core.errors import ConfigurationError, RnnserveError
from app.edge.http.server import GracefulServer, server_config
from app.engine.driver import share_interpreter
from app.main import Application, compose, version
from app.registry import Siblings, UnloadedNames
from app.sessions.stores import shown
from app.settings import Settings
from app.telemetry.logging import configure_logging
from app.telemetry.sharing import Share, SharedFolder

logger = logging.getLogger(__name__)

_POLL_S = 0.1
# A worker that ended sooner than this is replaced only after as long.
_RESTART_S = 1.0


def serve_here(
    settings: Settings,
    listeners: Sequence[socket.socket],
    announce: Callable[[str], None],
    *,
    supervised: bool = False,
    share: Share | None = None,
    siblings: Siblings | None = None,
) -> None:
    """Serve until a signal, then drain. SIGHUP looks for models.

    Args:
        settings: all of them.
        listeners: bound; the main one, and that of the admin port where there is one.
        announce: told what is served once requests are accepted.
        supervised: leave Ctrl-C, which every process of a terminal gets, to the supervisor.
        share: where the metrics of all workers are put together.
        siblings: the other workers.

    Raises:
        RnnserveError: a bundle, the device or the session store cannot be used.
    """
    hold_hangups()
    share_interpreter()
    application = compose(settings, share, siblings)
    text = greeting(application, settings, listeners[0].getsockname()[1])
    config = server_config(application.asgi, settings.limits, settings.trusted_proxies)
    server = GracefulServer(
        config,
        application.drain,
        lambda: announce(text),
        hangup=application.registry.wake,
        deaf_to_interrupt=supervised,
    )
    server.run(sockets=list(listeners))


def greeting(application: Application, settings: Settings, port: int) -> str:
    """Where the server listens and what it serves, for people."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    lines = [f"rnnserve {version()} on http://{host}:{port}  (docs at /docs, Ctrl-C ends)"]
    served = application.registry.served
    for one in served.models.values():
        manifest = one.manifest
        default = "default" if served.catalog.defaults.get(manifest.task) == manifest.reference else ""
        lines.append(
            f"  {manifest.task:<10} {manifest.reference:<28} {manifest.network.cell:<5} "
            f"{settings.device:<5} {one.load_seconds:5.2f} s  {default}".rstrip()
        )
    store = settings.session_store
    kept = "off" if store is None else f"{shown(store)} ({settings.durability})"
    workers = f"  {settings.workers} worker processes" if settings.workers > 1 else ""
    admin = "" if settings.admin_port is None else f"  admin port {settings.admin_port}"
    log = "a line for each answer" if settings.access_log else "off; --access-log logs a line for each answer"
    return "\n".join([*lines, f"  sessions   {kept}{workers}{admin}", f"  access log {log}"])


@dataclass(slots=True, eq=False)
class _Worker:
    process: SpawnProcess
    news: Connection
    started: float


class Supervisor:
    """Keeps ``settings.workers`` processes serving.

    Args:
        settings: all of them.
        listeners: bound; every worker accepts from them.
        announce: told what is served once all workers accept requests.
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
        self._context = multiprocessing.get_context("spawn")
        # No worker has the writing end, so the reading end says when this process has gone.
        self._alive, self._end = self._context.Pipe(duplex=False)
        self._workers: list[_Worker] = []
        self._metrics = SharedFolder(settings.workers)
        self._signals = 0
        self._passed_on = 0
        self._hangups = 0

    def run(self) -> None:
        """Serve until a signal; returns when every worker has ended.

        Raises:
            RnnserveError: the first worker could not start, with its reason.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        signal.signal(signal.SIGHUP, self._note_hangup)
        try:
            # Alone at first: what is wrong is said once.
            self._workers.append(self._start(0))
            text = self._ready(self._workers[0])
            while text is not None and len(self._workers) < self._settings.workers:
                self._workers.append(self._start(len(self._workers)))
            for worker in self._workers[1:]:
                if text is not None:
                    text = self._ready(worker)
            if text is not None:
                self._announce(text)
            while not self._signals:
                self._replace()
                self._pass_hangups_on()
                wait([worker.process.sentinel for worker in self._workers], timeout=_POLL_S)
        finally:
            self._signals = max(1, self._signals)
            with self._metrics:
                self._stop()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _note_hangup(self, number: int, frame: FrameType | None) -> None:
        self._hangups += 1

    def _pass_hangups_on(self) -> None:
        """Let every worker look for models."""
        if self._hangups:
            self._hangups = 0
            for worker in self._workers:
                if worker.process.is_alive() and worker.process.pid is not None:
                    os.kill(worker.process.pid, signal.SIGHUP)

    def _start(self, place: int) -> _Worker:
        news, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_work,
            args=(self._settings, self._listeners, sender, self._alive, self._metrics.path, place),
            name="rnnserve-worker",
        )
        # A worker inherits this, so that a SIGHUP waits until it can be heard, and ends nothing.
        before = hold_hangups()
        process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
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
            self._metrics.bury(place)
            self._workers[place] = self._start(place)

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


def _work(
    settings: Settings,
    listeners: Sequence[socket.socket],
    news: Connection,
    supervisor: Connection,
    metrics: Path,
    place: int,
) -> None:
    """A worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_logging(settings.log_level, settings.log_format)
    threading.Thread(target=_end_with, args=(supervisor,), daemon=True).start()
    share, parent = Share(metrics, place), os.getppid()
    try:
        serve_here(
            settings,
            listeners,
            lambda text: news.send((True, text)),
            supervised=True,
            share=share,
            siblings=Siblings(UnloadedNames(metrics / "unloaded.json"), partial(_hang_up, parent)),
        )
    except RnnserveError as error:
        with contextlib.suppress(OSError):
            news.send((False, error.message))
        sys.exit(2)
    finally:
        if os.getppid() != parent:
            share.abandon()


def hold_hangups() -> set[int]:
    """Let SIGHUP wait until the server can answer it; returns the signals that waited before."""
    return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})}


def _hang_up(supervisor: int) -> None:
    """Have every worker look for models, unless the supervisor has gone and its number is another's."""
    if os.getppid() == supervisor:
        os.kill(supervisor, signal.SIGHUP)


def _end_with(supervisor: Connection) -> None:
    """Drain when the supervisor has gone without a word."""
    with contextlib.suppress(EOFError, OSError):
        supervisor.recv_bytes()
    os.kill(os.getpid(), signal.SIGTERM)
