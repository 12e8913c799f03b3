"""From data to a served answer by the commands a user types: every task, every cell, two epochs."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles import CELLS
from tests.conftest import REPOSITORY
from tests.e2e.server import ServerProcess

DATA = REPOSITORY / "tests" / "data"
COMMON = ["--epochs", "2", "--hidden", "12", "--threads", "1", "--seed", "3", "--quiet"]
FORECAST = ["--time", "Month", "--target", "Passengers", "--horizon", "12", "--batches", "5"]
COMMANDS: dict[str, list[str]] = {
    "forecast": ["forecast", "--csv", str(DATA / "airline-passengers.csv"), *FORECAST],
    "sentiment": [
        "sentiment",
        "--csv",
        str(DATA / "romeo_and_juliet.csv"),
        "--text",
        "line",
        "--label",
        "speaker",
    ],
    "generate": ["generate", "--text", str(DATA / "coriolanus.txt"), "--embedding", "8", "--length", "32"],
}


def train(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``rnnserve-train`` as a process."""
    command = [sys.executable, "-m", "training.cli", *arguments, "--out", str(out)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)


def history() -> list[float]:
    """The airline's passengers."""
    with (DATA / "airline-passengers.csv").open() as file:
        return [float(row["Passengers"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a bundle of each task and cell, trained for two epochs each."""
    out = tmp_path_factory.mktemp("trained")
    lines = [
        [*command, *COMMON, "--cell", cell, "--name", f"{task}-{cell}", "--out", str(out)]
        for task, command in COMMANDS.items()
        for cell in CELLS
    ]
    # One process for all: starting PyTorch takes longer than two epochs.
    program = (
        "import json, sys; from training.cli import main\n"
        "for line in json.load(sys.stdin):\n"
        "    sys.argv[1:] = line\n"
        "    try: main()\n"
        "    except SystemExit as end: assert not end.code, line\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    return out


@pytest.fixture(scope="module")
def server(trained: Path) -> Iterator[ServerProcess]:
    """Serves what was trained."""
    with ServerProcess(trained) as process:
        yield process


@pytest.mark.parametrize("cell", CELLS)
def test_a_trained_forecaster_is_served(server: ServerProcess, cell: str) -> None:
    """A CSV that no shipped model saw becomes a bundle whose forecast has times and ordered quantiles."""
    body = {
        "model": f"forecast-{cell}",
        "values": history(),
        "start": "1949-01",
        "freq": "MS",
        "horizon": 12,
        "levels": [80],
    }
    with server.client() as client:
        answer = client.post("/forecast", json=body)
        assert answer.status_code == 200, answer.text
        too_far = client.post("/forecast", json=body | {"horizon": 121})
    forecast = answer.json()["forecasts"][0]
    assert forecast["timestamps"][0] == "1961-01-01T00:00:00"
    assert all(low <= high for low, high in zip(*forecast["quantiles"].values(), strict=True))
    # Two epochs teach little, but the network starts from what the series itself did before.
    assert all(100 < value < 1500 for value in forecast["mean"])
    assert too_far.json()["errors"][0]["allowed"] == {"min": 1, "max": 120}


@pytest.mark.parametrize("cell", CELLS)
def test_a_trained_classifier_is_served(server: ServerProcess, cell: str) -> None:
    """The labels are the CSV's."""
    with server.client() as client:
        answer = client.post(
            "/sentiment", json={"model": f"sentiment-{cell}", "text": "O Romeo, Romeo!", "trace": True}
        )
    result = answer.json()["results"][0]
    assert set(result["scores"]) == {"ROMEO", "JULIET"}
    assert len(result["trace"]) >= 3


@pytest.mark.parametrize("cell", CELLS)
def test_a_trained_generator_is_served(server: ServerProcess, cell: str) -> None:
    """It writes characters of its text, and its card names data and baselines."""
    with server.client() as client:
        answer = client.post(
            "/generate", json={"model": f"generate-{cell}", "prompt": "First", "max_tokens": 40, "seed": 1}
        )
        model = client.get(f"/models/generate-{cell}").json()
    text = answer.json()["choices"][0]["text"]
    assert len(text) == 40
    assert set(text) <= set((DATA / "coriolanus.txt").read_text())
    assert model["cell"] == cell
    assert model["quality"][0]["baselines"]


def test_mistakes_in_a_csv_are_one_clear_sentence(tmp_path: Path) -> None:
    """The column that is not there is named with those that are, and nothing is written."""
    run = train(tmp_path, *COMMANDS["forecast"], "--target", "Passangers")
    assert run.returncode == 1
    assert "Passangers" in run.stderr
    assert "Passengers" in run.stderr
    assert "Traceback" not in run.stderr
    assert list(tmp_path.iterdir()) == []
