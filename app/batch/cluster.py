"""The processes of a Ray cluster in place of this machine's: a task for each part.

A part that was on its way when a node went is sent to another one. Parts are written as a whole or not at
all, with the same bits wherever, so one that is answered twice is the same part. All nodes see the input, the
output and the models at the same paths.
"""

from __future__ import annotations

import importlib
import logging
import secrets
import socket
import time
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from app.batch.files import InputFile
from app.batch.output import Note
from app.batch.partition import Partition, Plan
from app.batch.workers import LOOK_S, Failure, Work, Worker, planned
from app.core.errors import ConfigurationError, RnnserveError

T = TypeVar("T")
_TRIES = 3
"""That a part is sent again when its process or node has gone: one that ends each process would not end."""

_KNOCK_S = 5.0
PATIENCE_S = 600.0
"""For which a cluster may have no core, as while its first node is being made."""


class Cluster:
    """As :class:`app.batch.workers.Workers`; ``address`` is Ray's: ``auto``, ``host:port``, ``ray://host:port``.

    Raises ConfigurationError: Ray is not installed here, or no cluster is there.
    """

    def __init__(self, work: Work, address: str) -> None:
        self._ray = _installed()
        try:
            _knock(address)
            self._ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL)
        except Exception as error:  # of many kinds, some of them not Ray's own
            raise ConfigurationError(
                f"--ray {address}: {_line(error)}; `ray start --head` begins a cluster, and --ray auto finds "
                "the one of this machine"
            ) from error
        self._run, self._work = secrets.token_hex(8), self._ray.put(work)
        # A task's own error is a fault of ours, which would come again.
        remote = self._ray.remote(num_cpus=1, max_retries=_TRIES, retry_exceptions=False)
        self._plan, self._answer = remote(_plan), remote(_answer)
        self._last_seen = time.monotonic()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._ray.shutdown()

    @property
    def num(self) -> int:
        """Cores of the nodes that are there now, at least 1."""
        return max(1, self._cores())

    def check(self) -> None:
        """Raises RnnserveError: the cluster has had no core for long."""
        now = time.monotonic()
        if self._cores():
            self._last_seen = now
        elif now > self._last_seen + PATIENCE_S:
            raise RnnserveError(
                f"no node of the cluster has had a core for {PATIENCE_S:g} s; the same command goes on from "
                "what is done"
            )

    def plan(self, file: InputFile, size: int, encoding: str) -> Plan:
        """As :meth:`app.batch.workers.Workers.plan`."""
        future = self._sent(self._plan, file, size, encoding)
        while not wait([future], timeout=LOOK_S).done:
            self.check()
        return planned(self.result(future))

    def answer(self, partition: Partition) -> Future[Note | Failure]:
        """As :meth:`app.batch.workers.Workers.answer`."""
        return self._sent(self._answer, partition)

    def result(self, future: Future[T]) -> T:
        """Raises RnnserveError: the part could not be answered on any node that had it."""
        try:
            return future.result()
        except self._ray.exceptions.RayError as error:
            raise RnnserveError(
                f"the cluster could not answer a part: {_line(error)}. Nodes need this version of rnnserve, "
                "and the input, the output and the models at the same paths; the same command goes on from "
                "what is done"
            ) from error

    def _cores(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 0))

    def _sent(self, task: Any, *given: Any) -> Future[Any]:
        future: Future[Any] = task.remote(self._run, self._work, *given).future()
        return future


def _installed() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise ConfigurationError(
            "--ray needs one more package here: pip install '.[ray]' in a checkout"
        ) from None


def _knock(address: str) -> None:
    """Ray itself would try for minutes; raises OSError and ValueError."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), _KNOCK_S).close()


def _line(error: Exception) -> str:
    """What was wrong, in one line: Ray gives whole tracebacks of other processes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")


# In a process of the cluster, which has tasks of one run after the other: the model is opened once.
_here: tuple[str, Worker] | None = None


def _worker(run: str, work: Work) -> Worker:
    global _here
    if _here is None or _here[0] != run:
        if _here is not None:
            _here[1].close()
        _here = run, Worker(work)
    return _here[1]


def _plan(run: str, work: Work, file: InputFile, size: int, encoding: str) -> Plan | Failure:
    return _worker(run, work).plan(file, size, encoding)


def _answer(run: str, work: Work, partition: Partition) -> Note | Failure:
    return _worker(run, work).answer(partition)
