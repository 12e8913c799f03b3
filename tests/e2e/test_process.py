"""The life of a server process: start, refuse to start, drain, end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.bundles import tiny_generator
from tests.e2e.forked import completed
from tests.e2e.server import REPOSITORY, ServerProcess

pytestmark = pytest.mark.long


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return completed(arguments, os.environ if environment is None else environment, REPOSITORY)


def test_starts_answers_and_ends_with_zero_on_sigterm(tiny_models: Path) -> None:
    """A process says where it listens and what it serves, is ready, and a SIGTERM ends it with 0."""
    with ServerProcess(tiny_models) as server, server.client() as client:
        server.wait_for_log("tiny-text-lstm@1")
        assert client.get("/healthz").json() == {"status": "ok", "dead": []}
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["ready"] is True
        assert server.stop() == 0
        assert "Traceback" not in server.log


def test_sigint_ends_with_zero_as_well(tiny_models: Path) -> None:
    """Ctrl-C is a clean end."""
    with ServerProcess(tiny_models) as server:
        server.signal(signal.SIGINT)
        assert server.wait() == 0
        assert "Traceback" not in server.log


def test_a_taken_port_is_one_clear_sentence(tiny_models: Path) -> None:
    """The error names the port and the way out, and nothing is loaded first."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("serve", "--models", str(tiny_models), "--port", str(port))
    assert result.returncode == 2
    assert f"port {port} on 127.0.0.1 is already in use; choose another with --port" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "/nowhere/at/all"], "'/nowhere/at/all' does not exist"),
        (["--models", "docs"], "holds no bundle"),
        (["--port", "70000"], "--port: Input should be less than or equal to 65535, got '70000'"),
        (["--max-batch", "many"], "--max-batch"),
        (["--default", "forecast"], "'forecast' is not TASK=NAME"),
        (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
    ],
)
def test_a_wrong_setting_is_one_clear_sentence(arguments: list[str], message: str) -> None:
    """The process ends with 2 and says which setting is wrong and why."""
    result = run("serve", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_cuda_without_its_runtime_is_refused_clearly(tiny_models: Path) -> None:
    """Asking for CUDA where ONNX Runtime has none is refused at start, and says what is missing."""
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine can serve on CUDA")
    result = run("serve", "--models", str(tiny_models), "--port", "0", "--device", "cuda")
    assert result.returncode == 2
    assert "onnxruntime-gpu" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bad_bundle_stops_the_start_and_is_named(tmp_path: Path) -> None:
    """A bundle whose graph was altered is named; nothing is served."""
    tiny_generator(tmp_path, name="good")
    graph = tiny_generator(tmp_path, name="altered") / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"x")
    result = run("serve", "--models", str(tmp_path), "--port", "0")
    assert result.returncode == 2
    assert "bundle altered/1" in result.stderr
    assert "sha256" in result.stderr


def test_a_bad_bundle_can_be_skipped(tmp_path: Path) -> None:
    """With --skip-bad-models the rest is served, and the log names the bad one."""
    tiny_generator(tmp_path, name="good")
    (tiny_generator(tmp_path, name="cut") / "manifest.json").write_text("{")
    with ServerProcess(tmp_path, skip_bad_models=True) as server, server.client() as client:
        listed = client.get("/models").json()["models"]
        assert {model["name"]: model["status"] for model in listed} == {"cut": "broken", "good": "ready"}
        server.wait_for_log("bundle cut/1")


def test_the_models_command_verifies_each_bundle(tmp_path: Path) -> None:
    """Good and bad bundles are listed, and a bad one makes the command fail."""
    tiny_generator(tmp_path, name="good")
    assert run("models", "--models", str(tmp_path)).returncode == 0
    moved = tmp_path / "good" / "2"
    shutil.copytree(tmp_path / "good" / "1", moved)
    result = run("models", "--models", str(tmp_path))
    assert result.returncode == 1
    assert "ok   good@1" in result.stdout
    assert "BAD  good@2" in result.stdout
    assert "2 bundles" in result.stdout


def test_flags_win_over_the_environment_and_unknown_variables_are_named(tiny_models: Path) -> None:
    """RNNSERVE_PORT is read, --port wins, and a misspelt variable is warned about."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        environment = {"RNNSERVE_PORT": port, "RNNSERVE_MAX_BACH": "3", "PATH": "/usr/bin"}
        result = run("serve", "--models", str(tiny_models), environment=environment)
        assert f"port {port}" in result.stderr
        assert "RNNSERVE_MAX_BACH is not a setting of rnnserve" in result.stderr
        result = run("serve", "--port", "-1", environment=environment)
        assert "--port" in result.stderr


def test_sigterm_lets_a_running_stream_end_and_refuses_new_work(tiny_models: Path) -> None:
    """While draining, the running generation ends whole, readiness is false, and new work gets 503."""
    with (
        ServerProcess(tiny_models, max_tokens=200_000, grace_s=60) as server,
        server.client() as client,
        connect(server.websocket, max_size=None) as running,
        connect(server.websocket) as idle,
    ):
        running.send(json.dumps({"prompt": "a", "max_tokens": 6000, "seed": 1}))
        first = json.loads(running.recv())
        assert first["type"] == "token"
        server.signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            idle.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["reason"] == "shutting down"
        refused = client.post("/sentiment", json={"text": "good"})
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["type"] == "urn:rnnserve:problem:draining"
        frames = [first]
        while frames[-1]["type"] == "token":
            frames.append(json.loads(running.recv()))
        assert frames[-1]["finish_reason"] == "length"
        assert frames[-1]["usage"]["completion_tokens"] == 6000
        assert server.wait() == 0
        assert "Traceback" not in server.log


def test_work_that_outlasts_the_grace_ends_with_an_error_frame(tiny_models: Path) -> None:
    """After the grace time a running generation is told, and the process still ends with 0."""
    with (
        ServerProcess(tiny_models, max_tokens=10_000_000, max_queued_steps=20_000_000, grace_s=0.2) as server,
        connect(server.websocket, max_size=None) as running,
    ):
        running.send(json.dumps({"max_tokens": 10_000_000}))
        running.recv()
        server.signal(signal.SIGTERM)
        kind = "token"
        while kind == "token":
            kind = json.loads(running.recv(timeout=10))["type"]
        assert kind == "error"
        with pytest.raises(ConnectionClosed) as closed:
            running.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert server.wait() == 0
        assert "Traceback" not in server.log


def test_a_post_in_flight_is_answered_during_the_drain(tiny_models: Path) -> None:
    """A request that was accepted before SIGTERM gets its answer."""
    with ServerProcess(tiny_models, grace_s=60) as server, server.client() as client:
        answers: list[int] = []

        def ask() -> None:
            body = {"prompt": "a", "max_tokens": 3000, "n": 4}
            answers.append(client.post("/generate", json=body).status_code)

        thread = threading.Thread(target=ask)
        thread.start()
        server.wait_for_metric("rnnserve_slots_used", 4, model="tiny-text-gru@1")
        server.signal(signal.SIGTERM)
        assert server.wait(60) == 0
        thread.join(60)
        assert answers == [200]
