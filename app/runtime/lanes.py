"""Several one-thread runs side by side over disjoint rows of one batch.

For small networks two runs on a thread each are faster than one run on two threads, which wait for each
other at every operator. A row has the same bits in any batch, so no answer shows how a batch was cut.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Sequence


class _Task:
    """A piece of work that whoever comes first runs, and that is run once."""

    __slots__ = ("_claim", "_done", "_error", "_work")

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._claim = threading.Lock()
        self._done = threading.Lock()
        self._done.acquire()
        self._error: BaseException | None = None

    def run(self) -> None:
        if not self._claim.acquire(blocking=False):
            return
        try:
            self._work()
        except BaseException as error:
            self._error = error
        finally:
            self._done.release()

    def result(self) -> None:
        self._done.acquire()
        if self._error is not None:
            raise self._error


class Lanes:
    """Threads that help the engines of a process; one lane, the engine's own, starts none.

    An engine runs itself what no lane has begun, so lanes that are busy with another's work delay nobody.
    """

    def __init__(self, num_lanes: int = 1) -> None:
        self.num_lanes = max(1, num_lanes)
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        # The threads know the queue and not this object, so they end when nobody can give them work.
        weakref.finalize(self, _end, self._tasks, self.num_lanes - 1)

    def run(self, pieces: Sequence[Callable[[], None]]) -> None:
        """Returns when all pieces have ended; raises what the first that failed raised."""
        self._start()
        tasks = [_Task(piece) for piece in pieces]
        for task in tasks[1:]:
            self._tasks.put(task)
        for task in tasks:
            task.run()
        for task in tasks:
            task.result()

    def _start(self) -> None:
        if len(self._threads) == self.num_lanes - 1:
            return
        with self._lock:
            while len(self._threads) < self.num_lanes - 1:
                name = f"lane-{len(self._threads)}"
                thread = threading.Thread(target=_help, args=(self._tasks,), name=name, daemon=True)
                thread.start()
                self._threads.append(thread)


def _help(tasks: queue.SimpleQueue[_Task | None]) -> None:
    while (task := tasks.get()) is not None:
        task.run()
        del task  # it knows its model, which may be unloaded before the next one comes


def _end(tasks: queue.SimpleQueue[_Task | None], num_threads: int) -> None:
    for _ in range(num_threads):
        tasks.put(None)
