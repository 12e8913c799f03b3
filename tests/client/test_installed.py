"""The wheel of the client, in an environment with what it declares; the examples of its page run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs_site.recorded import DOCS, blocks
from tests.e2e.server import ServerProcess
from tests.wheels import ROOT, Environment

EXAMPLES = [body for kind, body in blocks((DOCS / "clients.md").read_text()) if kind == "python"]
WITH_PANDAS = [code for code in EXAMPLES if "import pandas" in code]
PRINTED = {
    "client.models()": r"\[[\d., -]+\]\n\['positive', 'negative'\]\n.{40}\n\[.*'forecaster'.*\]\nneutral\n",
    "Path(": r"\['1960-01-01T00:00:00', .*'1960-06-01T00:00:00'\]\n",
    "client.stream(": r".{60}\n {'prompt_tokens': 6, 'completion_tokens': 60, 'total_tokens': 66}\n",
    "boiler": r"1 None\n2 {.*}\n3 {.*}\n4 {.*}\n\[[\d., -]+\]\n4\n",
    "gather": r"\['positive', 'negative'\]\n.{20}",
    "patient": r"{.*'labels'.*}\n",
}
"""A word of each example that needs no pandas, and what it prints."""


def run(environment: Environment, server: ServerProcess, code: str) -> str:
    """What an example prints."""
    code = code.replace("localhost:8000", f"localhost:{server.port}")
    done = environment.run("-W", "error", "-c", code, cwd=ROOT / "docs/..")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_it_needs_no_numpy_and_nothing_of_the_server(installed: Environment) -> None:
    """Of what it requires, all is declared; the package is the installed one, and typed."""
    assert {"httpx2", "websockets"} < set(installed.requires)
    assert not {"numpy", "pandas", "pydantic", "rnnserve", "typer"} & set(installed.requires)
    done = installed.run("-c", "import rnnserve_client; print(rnnserve_client.__file__)")
    package = Path(done.stdout.strip()).parent
    assert package.is_relative_to(installed.folder), done.stderr
    assert (package / "py.typed").exists()
    assert "No module named 'numpy'" in installed.run("-c", "import numpy").stderr


@pytest.mark.parametrize("word", PRINTED)
def test_the_examples_run(installed: Environment, shipped: ServerProcess, word: str) -> None:
    """Each by itself, word for word."""
    (code,) = [code for code in EXAMPLES if code not in WITH_PANDAS and word in code]
    printed = run(installed, shipped, code)
    assert re.fullmatch(PRINTED[word], printed, re.DOTALL), printed


def test_every_example_is_run() -> None:
    """None is left out of what the test above picks."""
    assert len(EXAMPLES) == len(PRINTED) + len(WITH_PANDAS)


def test_pandas_in_and_out(tmp_path: Path, client_wheel: Path, shipped: ServerProcess) -> None:
    """With the extra: times go along, a gap is missing, each step ahead is a row."""
    environment = Environment(tmp_path / "pandas", client_wheel, frozenset({"pandas"}))
    (code,) = WITH_PANDAS
    forecast, verdicts = run(environment, shipped, code).split("label")
    rows = [line.split()[1:4] for line in forecast.splitlines()[1:5]]
    assert rows == [
        ["shop", "2024-03-07", "1"],
        ["shop", "2024-03-08", "2"],
        ["web", "2024-03-07", "1"],
        ["web", "2024-03-08", "2"],
    ]
    assert [line.split()[1] for line in verdicts.splitlines()[1:]] == ["positive", "negative"]
