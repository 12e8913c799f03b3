"""How much of the application one warm request passes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tables import DOCS

ROOT = Path(__file__).parent.parent
LIMITS = {"POST /forecast": (28, 130), "POST /sessions/{id}/steps": (36, 170)}
ROW = re.compile(r"\| `([^`]+)`[^|]*\| (\d+) \| (\d+) \|")


def counts(table: str) -> dict[str, tuple[int, int]]:
    return {request: (int(files), int(functions)) for request, files, functions in ROW.findall(table)}


@pytest.fixture(scope="module")
def measured() -> dict[str, tuple[int, int]]:
    """In a process of its own: what traces this one would be replaced."""
    command = [sys.executable, "-m", "tests.steps"]
    return counts(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("request_line", LIMITS)
def test_a_request_passes_few_files_and_functions(
    request_line: str, measured: dict[str, tuple[int, int]]
) -> None:
    files, functions = measured[request_line]
    most_files, most_functions = LIMITS[request_line]
    assert files <= most_files
    assert functions <= most_functions


def test_the_design_gives_these_figures(measured: dict[str, tuple[int, int]]) -> None:
    """Python versions call a few more or fewer; the files are the same."""
    stated = counts((DOCS / "design.md").read_text())
    assert stated.keys() == measured.keys()
    for request, (files, functions) in stated.items():
        assert files == measured[request][0]
        assert abs(functions - measured[request][1]) <= 5
