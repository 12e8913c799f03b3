"""The server's wheel, outside the checkout, with what it requires and no extra."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from benchmarks.kills import free_port
from rnnserve_client import Retry, SyncClient
from tests.readme import SHIPPED
from tests.wheels import ROOT, Environment, build


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Its environment."""
    folder = tmp_path_factory.mktemp("server")
    wheel = build(ROOT, ["pyproject.toml", "README.md", "LICENSE", "app", "training"], folder)
    return Environment(folder / "environment", wheel)


def test_it_fetches_models_and_serves_them(server: Environment, tmp_path: Path) -> None:
    """Without models it says what to do; what it says is what then works."""
    rnnserve = str(server.folder / "bin/rnnserve")
    refused = server.run(rnnserve, "serve", "--port", "0", "--sessions", "memory:", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith("rnnserve: the models folder 'models' does not exist")
    assert refused.stderr.endswith("get the models of this release: rnnserve models fetch\n")
    fetched = server.run(
        rnnserve, "models", "fetch", "names", "forecaster", "--from", str(SHIPPED), cwd=tmp_path
    )
    assert (fetched.returncode, fetched.stderr) == (0, "")
    assert fetched.stdout.splitlines()[-1] == "serve them: rnnserve serve --models models"
    port = free_port()
    command = [
        str(server.folder / "bin/python"),
        rnnserve,
        "serve",
        "--models",
        "models",
        "--port",
        str(port),
    ]
    with subprocess.Popen(command, cwd=tmp_path, env=server.variables(), stderr=subprocess.PIPE) as process:
        try:
            retry = Retry(attempts=200, first_s=0.1, longest_s=0.2)
            with SyncClient(f"http://127.0.0.1:{port}", retry=retry) as client:
                assert {model["name"] for model in client.models()} == {"names", "forecaster"}
                assert len(client.forecast([1, 2, 3, 4], horizon=2)["forecasts"][0]["mean"]) == 2
                session = client.create(model="names")
                assert session.feed("an").step == 2
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        assert process.returncode == 0
    assert (tmp_path / "state").is_dir()


@pytest.mark.parametrize("name", ["ask", "session"])
def test_what_comes_with_the_client_says_so(server: Environment, name: str) -> None:
    """Whatever follows it."""
    done = server.run(str(server.folder / "bin/rnnserve"), name, "forecast", "--horizon", "3", "--help")
    says = f"rnnserve: {name} comes with the client; in a checkout: pip install ./client\n"
    assert (done.returncode, done.stderr) == (2, says)


def test_it_is_typed_and_free_of_training(server: Environment) -> None:
    """Nothing of what trains is required; the packages carry their marks for type checkers."""
    assert {"onnxruntime", "fastapi"} < set(server.requires)
    assert not {"torch", "onnx", "scikit-learn"} & set(server.requires)
    done = server.run("-c", "import app, training; print(app.__path__[0], training.__path__[0])")
    for package in map(Path, done.stdout.split()):
        assert package.is_relative_to(server.folder)
        assert (package / "py.typed").exists()


def test_it_finds_the_likeliest_tokens(server: Environment) -> None:
    """By the graph that lies beside the code."""
    lines = [
        "import numpy as np",
        "from app.runtime.session import likeliest",
        "print(likeliest(np.eye(3, dtype=np.float32)[:1], 2)[1])",
    ]
    done = server.run("-c", "\n".join(lines))
    assert (done.stdout, done.stderr) == ("[[0 1]]\n", "")
