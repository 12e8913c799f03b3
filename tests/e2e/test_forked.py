"""The servers of the tests are copies of one process; what a copy does at its end, the tests must stand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from tests.e2e.forked import ForkedProcess
from tests.e2e.server import REPOSITORY


@pytest.fixture
def copy(tmp_path: Path) -> ForkedProcess:
    """One that says what it cannot serve, and ends."""
    command = ["serve", "--models", str(tmp_path / "none"), "--sessions", "memory:"]
    return ForkedProcess(command, dict(os.environ), REPOSITORY)


def test_a_copy_answers_as_a_new_process_does(copy: ForkedProcess, tmp_path: Path) -> None:
    """Same words, same status."""
    command = [
        sys.executable,
        "-m",
        "app",
        "serve",
        "--models",
        str(tmp_path / "none"),
        "--sessions",
        "memory:",
    ]
    new = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    with copy.stderr:
        assert copy.stderr.read() == new.stderr
    assert copy.wait(30) == new.returncode


def test_a_signal_to_a_copy_that_has_just_ended_is_none(copy: ForkedProcess) -> None:
    """Between the question whether it runs and the signal it may end, and is then nobody's zombie."""
    with copy.stderr:
        copy.wait(30)
    with mock.patch.object(copy, "poll", return_value=None):
        copy.send_signal(signal.SIGTERM)
        copy.kill()
