"""A running server against its own OpenAPI document, by schemathesis.

    python -m tests.reliability.fuzz --max-examples 200 --seed 7

server process --/openapi.json--> schemathesis, with the checks of openapi_checks.py --> report

Its phases: the document's examples; a case for each boundary and each violation of every schema;
random good and bad requests; and chains of requests, where an answer gives the next one its ids.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bundles import (
    tiny_classifier,
    tiny_composer,
    tiny_forecaster,
    tiny_generator,
    tiny_hearer,
    tiny_reader,
    tiny_translator,
)
from tests.e2e.server import REPOSITORY, ServerProcess
from tests.reliability.meaning import INPUTS, MODELS, OPTIONS, SESSION_OF
from tests.reliability.openapi_checks import NAMES
from tests.tasks.caption.network import tiny_captioner

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
SPARE = "spare"
SPARE_SESSIONS = [f"spare-{number}" for number in range(8)]
DEFAULTS = ",".join(f"{task}={model}" for model, task in MODELS.items())
SESSIONS = {name: {"task": task, "options": OPTIONS.get(task, {})} for task, name in SESSION_OF.items()}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found.

    Attributes:
        cases: requests that were made up and sent.
        failures: what was wrong, each different thing once.
        accepted: by operation, answers with 2xx to random good requests.
        text: all that the command wrote.
    """

    cases: int
    failures: list[str]
    accepted: Mapping[str, int]
    text: str


def write_models(folder: Path) -> None:
    """A tiny bundle for each task, and one that may be unloaded at any time."""
    tiny_forecaster(folder, name="series")
    tiny_classifier(folder, name="mood")
    tiny_generator(folder, name="text")
    tiny_reader(folder, name="sensors")
    tiny_composer(folder, name="music")
    tiny_hearer(folder, name="ears")
    tiny_translator(folder, name="tongues")
    tiny_captioner(folder, name="eyes")
    tiny_generator(folder, "gru", name=SPARE)


def prepare(server: ServerProcess, headers: Mapping[str, str]) -> dict[str, Any]:
    """Sessions to ask for; returns all names that exist."""
    with server.client() as client:
        for name, body in SESSIONS.items():
            client.post("/sessions", json={**body, "id": name}, headers=headers).raise_for_status()
            steps = {"seq": 1, "inputs": INPUTS[name]}
            client.post(f"/sessions/{name}/steps", json=steps, headers=headers).raise_for_status()
        for name in SPARE_SESSIONS:
            client.post(
                "/sessions", json={"task": "generate", "id": name}, headers=headers
            ).raise_for_status()
    return {
        "sessions": list(SESSIONS),
        "models": [*MODELS, "text@1"],
        "spare": SPARE,
        "spare_sessions": SPARE_SESSIONS,
    }


def run(
    server: ServerProcess,
    folder: Path,
    max_examples: int,
    seed: int,
    headers: Mapping[str, str] | None = None,
    *arguments: str,
) -> Outcome:
    """Compare a server that serves :func:`write_models` with its document.

    Args:
        server: it.
        folder: for the report.
        max_examples: random requests for each operation, and chains.
        seed: repeats the run.
        headers: sent with each request.
        arguments: further ones of the command.
    """
    names = json.dumps(prepare(server, headers or {}))
    given = [part for name, value in (headers or {}).items() for part in ("--header", f"{name}:{value}")]
    return run_command(server.url, folder, max_examples, seed, {NAMES: names}, *given, *arguments)


def run_command(
    url: str, folder: Path, max_examples: int, seed: int, environment: Mapping[str, str], *arguments: str
) -> Outcome:
    """Compare whatever answers at ``url`` with its document."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "run"]
    command += [f"{url}/openapi.json", "--max-examples", str(max_examples), "--seed", str(seed)]
    command += ["--report", "json", "--report-json-path", str(report), *arguments]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert report.exists(), done.stdout
    return _read(json.loads(report.read_text()), done.stdout, done.returncode)


def _read(report: dict[str, Any], text: str, status: int) -> Outcome:
    failures = [json.dumps(one) for one in [*report["failures"], *report["errors"]]]
    if status and not failures:
        failures.append(f"the command ended with {status}")
    accepted = {
        operation: rates.get("fuzzing", {}).get("accepted", 0)
        for operation, rates in report["valid_rates"].items()
    }
    return Outcome(report["test_cases"]["generated"], failures, accepted, text)


def main() -> None:
    """Run it and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_models(folder / "models")
        with ServerProcess(folder / "models", default=DEFAULTS, max_tokens=64) as server:
            outcome = run(server, folder, options.max_examples, options.seed)
            healthy = "Traceback" not in server.log
        print(outcome.text)
        print("accepted, of the random good requests:")
        for operation, count in sorted(outcome.accepted.items()):
            print(f"  {count:6} {operation}")
    print(f"{outcome.cases} cases, {len(outcome.failures)} failures")
    raise SystemExit(bool(outcome.failures) or not healthy)


if __name__ == "__main__":
    main()
