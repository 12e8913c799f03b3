"""The lock of an LMDB directory's writers."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import TracebackType

from app.core.errors import StoreUnavailable

if sys.platform != "win32":
    import fcntl

_FIRST_PAUSE_S = 0.00005
_LONGEST_PAUSE_S = 0.001


class FileLock:
    """One lock for all processes that write to a directory, which the kernel takes back from the dead. Held
    by one thread of a process, and not twice.

    LMDB's own is a robust mutex in shared memory. Its waiters sleep on a futex, and a wake-up is lost when
    the process that was woken is killed before it takes the mutex: the others then sleep on although it is
    free (seen, with four writers and ``kill -9``). Whoever holds this lock meets no one at the mutex.
    """

    def __init__(self, path: Path, wait_s: float) -> None:
        self._wait_s = wait_s
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def __enter__(self) -> None:
        if sys.platform == "win32":  # there LMDB's mutex is the system's, without this fault
            return
        until = None
        pause = _FIRST_PAUSE_S
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except (BlockingIOError, PermissionError):
                now = time.monotonic()
                until = until or now + self._wait_s
            if now >= until:
                text = f"another process has held the session store's lock for {self._wait_s:g} s"
                raise StoreUnavailable(text, retry_after_s=1.0)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if sys.platform != "win32":
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)
