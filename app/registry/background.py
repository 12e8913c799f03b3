"""Blocking work that may hang, on a thread that nobody waits for when the process ends."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NoReturn, TypeVar

_T = TypeVar("_T")
_running: set[threading.Thread] = set()


def begin(work: Callable[[], _T], name: str) -> Future[_T]:
    future: Future[_T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result = work()
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            _running.discard(thread)

    thread = threading.Thread(target=run, name=name, daemon=True)
    _running.add(thread)
    thread.start()
    return future


def leave(status: int) -> NoReturn:
    """End the process. Beside native code the interpreter's own end can abort it, so it is left out then."""
    if _running:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
