"""The processes that answer and write parts: one for each core, or this one alone where the work is small."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from app.batch.answering import Answerer
from app.batch.files import InputFile
from app.batch.output import Note, Output
from app.batch.partition import Partition, Plan
from app.batch.place import reason, troubles
from app.core.errors import InvalidInput, RnnserveError
from app.settings import Settings

T = TypeVar("T")
LOOK_S = 0.5
"""Between two looks at what runs."""


@dataclass(frozen=True, slots=True)
class Work:
    """What every process of a run is told. ``options`` are those of the task."""

    settings: Settings
    bundle: Path
    options: Any
    output: Output


@dataclass(frozen=True, slots=True)
class Failure:
    """An error on its way between processes; ``field`` of what is wrong with one file, else empty."""

    message: str
    field: str = ""


class Workers:
    """A context manager. At its end what has begun is finished, or in ``stop`` left as it is."""

    def __init__(self, work: Work, num: int) -> None:
        self.num = num
        self._here: Worker | None = None
        self._pool: ProcessPoolExecutor | None = None
        if num == 1:
            self._here = Worker(work)
        else:
            # Imports are done once, by a process without threads that the workers are copied from.
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([__name__])
            self._pool = ProcessPoolExecutor(num, context, initializer=_begin, initargs=(work,))

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        if self._here is not None:
            self._here.close()

    def check(self) -> None:
        """A process of this machine that has ended is told by its futures."""

    def plan(self, file: InputFile, size: int, encoding: str) -> Plan:
        """Raises InvalidInput: the file cannot be read as what it is; RnnserveError: nothing can go on."""
        return planned(self.result(self._submit(_plan, file, size, encoding)))

    def answer(self, partition: Partition) -> Future[Note | Failure]:
        """Answer a partition, and write the part."""
        return self._submit(_answer, partition)

    def result(self, future: Future[T]) -> T:
        """Raises RnnserveError: a process was killed."""
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise RnnserveError(
                "a process of this run was killed, as where memory is short; the same command goes on from "
                "what is done, and --workers or --part-mb make it need less"
            ) from error

    def _submit(self, call: Callable[..., T], *given: Any) -> Future[T]:
        if self._pool is not None:
            return self._pool.submit(call, *given)
        future: Future[T] = Future()
        future.set_result(call(*given, worker=self._here))
        return future


def planned(said: Plan | Failure) -> Plan:
    """Raises InvalidInput and RnnserveError, as :meth:`Workers.plan`."""
    if isinstance(said, Failure):
        raise InvalidInput(said.field, said.message) if said.field else RnnserveError(said.message)
    return said


class Worker:
    """One process' side of a run. What cannot be opened is told to whoever asks first."""

    def __init__(self, work: Work) -> None:
        self._output = work.output
        self._answerer: Answerer | None = None
        self._failure: Failure | None = None
        try:
            self._answerer = Answerer(work.settings, work.bundle, work.options)
        except RnnserveError as error:
            self._failure = Failure(error.message)

    def plan(self, file: InputFile, size: int, encoding: str) -> Plan | Failure:
        return self._told(lambda answerer: answerer.plan(file, size, encoding))

    def answer(self, partition: Partition) -> Note | Failure:
        def work(answerer: Answerer) -> Note:
            answered = answerer.answer(partition)
            self._output.write(partition.number, answered, answerer.kinds)
            return Note(answered.num_items, answered.num_rows, answered.rejects)

        return self._told(work)

    def close(self) -> None:
        if self._answerer is not None:
            self._answerer.close()

    def _told(self, work: Callable[[Answerer], T]) -> T | Failure:
        """Errors of ours do not survive the way between processes, so they go as values."""
        if self._answerer is None:
            return self._failure or Failure("the model is not open")
        try:
            return work(self._answerer)
        except InvalidInput as error:
            return Failure(error.message, error.field or "body")
        except RnnserveError as error:
            return Failure(error.message)
        except troubles() as error:
            return Failure(f"cannot write {str(self._output.folder)!r}: {reason(error)}")


_worker: Worker | None = None


def _begin(work: Work) -> None:
    """In a process of the pool. Ctrl-C reaches all of them, and is for the parent; they end with it."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _worker = Worker(work)


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _plan(file: InputFile, size: int, encoding: str, worker: Worker | None = None) -> Plan | Failure:
    here = worker or _worker
    assert here is not None
    return here.plan(file, size, encoding)


def _answer(partition: Partition, worker: Worker | None = None) -> Note | Failure:
    here = worker or _worker
    assert here is not None
    return here.answer(partition)
