"""The interpreter's lock is shared: set in the process, and inherited by the threads it starts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from app.engine.driver import share_interpreter

_SCRIPT = """
import ctypes, sys, threading
from app.engine.driver import share_interpreter
share_interpreter()
slack = []
def ask():
    slack.append(ctypes.CDLL(None).prctl(30, 0, 0, 0, 0) if sys.platform == "linux" else None)
thread = threading.Thread(target=ask)
thread.start()
thread.join()
print(round(sys.getswitchinterval() * 1e6), slack[0])
"""


def test_threads_wait_for_the_lock_as_long_as_they_are_told() -> None:
    """A hundred microseconds, and on Linux the kernel adds one at most."""
    found = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    interval, slack = found.stdout.split()
    assert interval == "100"
    if sys.platform == "linux":
        assert slack == "1000"


def test_where_the_kernel_refuses_the_server_starts_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox may forbid the call, or have no such library."""

    def missing(name: object) -> object:
        raise OSError("no library")

    monkeypatch.setattr("sys.setswitchinterval", lambda seconds: None)
    monkeypatch.setattr("ctypes.CDLL", missing)
    share_interpreter()
