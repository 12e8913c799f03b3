"""A CSV file, sent as the clients that people have send files, each with its own headers."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from pathlib import Path

import httpx2
import pytest

from tests.e2e.server import ServerProcess

HOURS = "hour,boiler\n" + "".join(f"2024-03-01 {hour:02d}:00,{hour % 7}\n" for hour in range(24))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """On disk."""
    path = tmp_path / "boiler.csv"
    path.write_text(HOURS)
    return path


@pytest.fixture
def answer(client: httpx2.Client) -> object:
    """The right one."""
    return client.post("/forecast?horizon=2", content=HOURS, headers={"content-type": "text/csv"}).json()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/forecast?horizon=2", ["--data-binary", "@{file}"]),
        ("/forecast?horizon=2", ["-H", "content-type:", "--data-binary", "@{file}"]),
        ("/forecast?horizon=2", ["-X", "POST", "-T", "{file}"]),
        ("/forecast?horizon=2", ["-F", "file=@{file}"]),
        ("/forecast", ["-F", "file=@{file}", "-F", "horizon=2"]),
        ("/forecast?horizon=2", ["-F", "file=@{file};type=application/vnd.ms-excel"]),
        ("/forecast/?horizon=2", ["-H", "content-type: text/csv", "--data-binary", "@{file}"]),
    ],
)
def test_curl_sends_a_file(
    server: ServerProcess, answer: object, file: Path, path: str, options: list[str]
) -> None:
    """With the content types that it chooses by itself, and without one."""
    command = ["curl", "-sS", *(option.format(file=file) for option in options), f"{server.url}{path}"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    assert json.loads(done.stdout) == answer


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_that_drops_the_lines_is_told(server: ServerProcess, file: Path) -> None:
    """``-d @file`` joins them."""
    command = ["curl", "-sS", "-d", f"@{file}", f"{server.url}/forecast?horizon=2"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    assert "--data-binary" in json.loads(done.stdout)["detail"]


def test_pythons_own_client_sends_a_file(server: ServerProcess, answer: object, file: Path) -> None:
    """It calls every body a form."""
    with urllib.request.urlopen(f"{server.url}/forecast?horizon=2", file.read_bytes(), timeout=30) as found:
        assert json.load(found) == answer


def test_a_form_of_a_client_library_is_read(client: httpx2.Client, answer: object, file: Path) -> None:
    """The usual way in Python, and what pages do."""
    with file.open("rb") as opened:
        found = client.post("/forecast", files={"file": opened}, data={"horizon": "2"})
    assert found.json() == answer
