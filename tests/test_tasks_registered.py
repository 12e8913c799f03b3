"""A task is its folder and its registration: another one is added, and each shipped one left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient import http as triton
from websockets.sync.client import connect

from app.registered import TASKS
from tests.bundles import (
    tiny_classifier,
    tiny_composer,
    tiny_forecaster,
    tiny_generator,
    tiny_hearer,
    tiny_reader,
    tiny_translator,
)
from tests.e2e.server import ServerProcess
from tests.parity.network import export_parity
from tests.tasks.caption.network import tiny_captioner

NAMES = tuple(task.name for task in TASKS)
BITS = [1, 0, 1, 1, 0, 0, 1]
PARITIES = np.cumsum(BITS) % 2
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABAQAAAAA3bvkkAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="
ASKED = {
    "forecast": {"values": [1.0, 2.0, 3.0], "horizon": 2},
    "sentiment": {"text": "a good film"},
    "generate": {"prompt": "ab", "max_tokens": 3, "seed": 1},
    "sequence": {"rows": [[0.1, 20.0]]},
    "compose": {"steps": 2, "seed": 1},
    "transcribe": {"pcm16": "AAAAAA==", "rate": 8000},
    "translate": {"text": "a dog"},
    "caption": {"images": DOT},
    "parity": {"bits": BITS},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of each task, ``parity`` among them."""
    folder = tmp_path_factory.mktemp("models")
    tiny_forecaster(folder)
    tiny_classifier(folder)
    tiny_generator(folder)
    tiny_reader(folder)
    tiny_composer(folder)
    tiny_hearer(folder)
    tiny_translator(folder)
    tiny_captioner(folder)
    export_parity(folder)
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[ServerProcess]:
    """A server with the shipped tasks and ``parity``."""
    with ServerProcess(models, tasks=",".join((*NAMES, "parity"))) as server:
        yield server


def test_a_new_task_answers_over_http_and_names_wrong_fields(server: ServerProcess) -> None:
    """Its request, its limits, its mistakes, its model card."""
    with server.client() as client:
        answer = client.post("/parity", json={"bits": BITS})
        assert answer.json() == {"model": "parity@1", "parities": PARITIES.tolist()}
        wrong = client.post("/parity", json={"bits": [1, 2]})
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "bits.1")
        card = client.get("/models/parity").json()
        assert (card["task"], card["inputs"], card["limits"]["max_bits"]) == (
            "parity",
            {"bits": [0, 1]},
            1000,
        )
        events = client.post("/parity", json={"bits": BITS, "stream": True}).text
    frames = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: ")]
    assert [bit for frame in frames[:-1] for bit in frame["parities"]] == PARITIES.tolist()
    assert frames[-1] == {"type": "done", "parity": int(PARITIES[-1]), "model": "parity@1"}


def test_an_operation_of_a_task_has_a_path_and_runs_in_rounds(server: ServerProcess) -> None:
    """Three ones and their parity make an even number, which is fed back from then on."""
    with server.client() as client:
        answer = client.post("/parity/echo", json={"bits": [1, 1, 1], "times": 4})
        assert answer.json() == {"model": "parity@1", "parities": [1, 0, 0, 0]}
        assert "server-timing" in answer.headers
        wrong = client.post("/parity/echo", json={"bits": [1, 2], "times": 1})
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "bits.1")
        assert client.get("/parity/echo").status_code == 405
        route = client.get("/openapi.json").json()["paths"]["/parity/echo"]["post"]
    examples = route["requestBody"]["content"]["application/json"]["examples"]
    assert examples["twice"]["value"] == {"bits": [1, 1, 1], "times": 2}


def test_a_new_task_has_a_setting_for_its_limit(models: Path) -> None:
    """A flag, like every other limit."""
    with ServerProcess(models, tasks="parity", skip_bad_models=True, max_bits=3) as server:
        with server.client() as client:
            assert client.post("/parity", json={"bits": [1, 1, 1]}).status_code == 200
            refused = client.post("/parity", json={"bits": BITS})
        assert (refused.status_code, refused.json()["errors"][0]["allowed"]) == (422, 3)


def test_a_new_task_streams_over_a_socket(server: ServerProcess) -> None:
    """Any number of requests in turn."""
    with connect(f"{server.url.replace('http', 'ws', 1)}/parity") as socket:
        for bits in (BITS, [1], [1, 1]):
            socket.send(json.dumps({"bits": bits}))
            parities: list[int] = []
            while (frame := json.loads(socket.recv(timeout=30)))["type"] == "bits":
                parities += frame["parities"]
            assert parities == (np.cumsum(bits) % 2).tolist()
            assert frame == {"type": "done", "parity": parities[-1], "model": "parity@1"}


def test_a_session_of_a_new_task_survives_a_kill(models: Path, tmp_path: Path) -> None:
    """The next server goes on behind the last acknowledged bit."""
    tasks = ",".join((*NAMES, "parity"))
    with ServerProcess(models, tasks=tasks, state_dir=tmp_path) as server, server.client() as client:
        client.post("/sessions", json={"task": "parity", "id": "bits"}).raise_for_status()
        first = client.post("/sessions/bits/steps", json={"seq": 1, "inputs": BITS[:4]}).json()
        server.kill()
    with ServerProcess(models, tasks=tasks, state_dir=tmp_path) as server, server.client() as client:
        second = client.post("/sessions/bits/steps", json={"seq": 5, "inputs": BITS[4:]}).json()
    outputs = [*first["outputs"], *second["outputs"]]
    assert [output["parity"] for output in outputs] == PARITIES.tolist()


def test_triton_reads_a_new_task(server: ServerProcess) -> None:
    """The unmodified client: a batch, and a sequence whose state the server keeps."""
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    assert [part["name"] for part in client.get_model_metadata("parity")["inputs"]] == ["bits"]
    rows = np.array([BITS, BITS[::-1]], np.int64)
    found = client.infer("parity", [tensor(rows)]).as_numpy("parities")
    np.testing.assert_array_equal(found, np.cumsum(rows, axis=1) % 2)
    parts = [BITS[:3], BITS[3:6], BITS[6:]]
    said: list[int] = []
    for place, part in enumerate(parts):
        answer = client.infer(
            "parity",
            [tensor(np.array([part], np.int64))],
            sequence_id=7,
            sequence_start=place == 0,
            sequence_end=place == len(parts) - 1,
        )
        said += answer.as_numpy("step_parity")[0].tolist()
    assert said == PARITIES.tolist()
    client.close()


def tensor(bits: np.ndarray) -> triton.InferInput:
    """The input of the model."""
    given = triton.InferInput("bits", list(bits.shape), "INT64")
    given.set_data_from_numpy(bits)
    return given


def test_a_new_task_is_documented_and_counted(server: ServerProcess) -> None:
    """In the OpenAPI document with its example and its frames, and among the metrics by its name."""
    with server.client() as client:
        client.post("/parity", json={"bits": BITS})
        document = client.get("/openapi.json").json()
    route = document["paths"]["/parity"]["post"]
    assert route["requestBody"]["content"]["application/json"]["examples"]["three"]["value"] == {
        "bits": [1, 0, 1]
    }
    assert {"ParityRequest", "ParityAnswer", "BitsFrame"} <= set(document["components"]["schemas"])
    assert server.metric("rnnserve_requests_total", task="parity", outcome="ok") >= 1


@pytest.mark.parametrize("missing", NAMES)
def test_each_shipped_task_can_be_left_out(models: Path, missing: str) -> None:
    """The server starts, says which bundles it leaves, and serves the others."""
    rest = tuple(name for name in NAMES if name != missing)
    with (
        ServerProcess(models, tasks=",".join(rest), skip_bad_models=True) as server,
        server.client() as client,
    ):
        for name in rest:
            assert client.post(f"/{name}", json=ASKED[name]).status_code == 200
        assert client.post(f"/{missing}", json=ASKED[missing]).status_code == 404
        states = {model["name"]: model for model in client.get("/models").json()["models"]}
        assert sum(model["status"] == "broken" for model in states.values()) == 2  # and parity's
        refused = client.post("/sessions", json={"task": missing})
        assert refused.status_code == 422
        assert f"/{missing}" not in client.get("/openapi.json").json()["paths"]
        assert client.get("/").status_code == 200
