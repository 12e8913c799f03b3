"""Trees of processes: their CPU seconds, their memory, their end."""

from __future__ import annotations

import sys
import time

import pytest

from benchmarks.processes import Subject, answers

# A child that leaves its parent's session, as a daemon does, burns CPU and holds memory.
_DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        held = bytearray(64 * 2**20)
        for place in range(0, len(held), 4096):
            held[place] = 1
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
        print("burnt", flush=True)
        time.sleep(60)
    os._exit(0)
os.wait()
print("parent", flush=True)
time.sleep(60)
"""


def wait_for(subject: Subject, text: str) -> None:
    """Until it has written this."""
    until = time.monotonic() + 60
    while text not in subject.log:
        assert time.monotonic() < until, subject.log
        time.sleep(0.02)


def test_a_daemon_belongs_to_the_tree_and_ends_with_it() -> None:
    """Its CPU and memory are counted, though it has left the session; and none is left running."""
    with Subject([sys.executable, "-c", _DAEMON]) as subject:
        wait_for(subject, "burnt")
        wait_for(subject, "parent")
        assert len(subject.pids()) == 2
        assert subject.cpu_s() >= 0.3
        held = subject.memory()
        assert held.anonymous > 64
        assert held.rss >= held.pss > 0
    # What is left of a killed process until it is reaped has no environment any more.
    assert subject.pids() == []


async def test_a_subject_that_dies_is_reported_with_its_log() -> None:
    """Instead of waiting for an answer that cannot come."""
    command = [sys.executable, "-c", "print('no model here'); raise SystemExit(3)"]
    with Subject(command) as subject, pytest.raises(RuntimeError, match="no model here"):
        await answers(subject, "http://127.0.0.1:1", "/", b"", timeout_s=60)
