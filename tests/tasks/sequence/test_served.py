"""Rows, tables, arrays and texts to sequences; outputs by name."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient import http as triton
from websockets.sync.client import connect

from app.access.api_key import new_key, shown_digest
from tests.bundles import CELLS
from tests.e2e.server import ServerProcess
from tests.tasks.sequence.conftest import MODEL

ROWS: list[Any] = [[0.1, 20.0], [0.7, None], [1.4, 23.5], [-0.2, 18.0], [0.3, None]]


def ask(server: ServerProcess, body: dict[str, Any]) -> Any:
    """The results of a request that is answered."""
    with server.client() as client:
        answer = client.post("/sequence", json={"model": MODEL, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def test_every_form_of_a_sequence_gives_the_same_answer(server: ServerProcess) -> None:
    """Lists, objects, a CSV with a decimal comma and more columns, an array, one of many, a stream."""
    (expected,) = ask(server, {"rows": ROWS, "read": "each"})
    assert [len(expected["steps"]), expected["length"], expected["steps"][-1]] == [5, 5, expected["outputs"]]
    named = [{"vibration": row[0], **({} if row[1] is None else {"temperature": row[1]})} for row in ROWS]
    assert ask(server, {"rows": named, "read": "each"}) == [expected]
    assert ask(server, {"rows": ROWS}) == [{**expected, "steps": None}]
    many = [{"id": "a", "rows": ROWS[:2]}, {"id": "b", "rows": ROWS}, {"id": "c", "rows": named[:2]}]
    short, whole, again = ask(server, {"sequences": many, "read": "each"})
    assert whole == {**expected, "id": "b"}
    assert (short["steps"], again["steps"]) == (expected["steps"][:2], expected["steps"][:2])
    lines = [f"m;{row[1] or ''};x;{str(row[0]).replace('.', ',')}" for row in ROWS]
    csv = "machine;temperature;note;vibration\n" + "\n".join(["n;1;y;2", *lines])
    array = io.BytesIO()
    np.save(array, np.array(ROWS, np.float64))
    with server.client() as client:
        query = f"/sequence?model={MODEL}&read=each"
        table = client.post(f"{query}&id=machine", content=csv, headers={"content-type": "text/csv"}).json()
        assert [result["id"] for result in table["results"]] == ["n", "m"]
        assert table["results"][1] == {**expected, "id": "m"}
        saved = client.post(query, content=array.getvalue(), headers={"content-type": "application/x-npy"})
        assert saved.json()["results"] == [expected]
        body = {"model": MODEL, "rows": ROWS, "read": "each", "stream": True}
        events = client.post("/sequence", json=body).text
    frames = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: ")]
    assert [step for frame in frames[:-1] for step in frame["steps"]] == expected["steps"]
    assert frames[-1]["results"][0]["outputs"] == expected["outputs"]


@pytest.mark.parametrize("cell", CELLS)
def test_a_session_says_what_the_whole_sequence_says(server: ServerProcess, cell: str) -> None:
    """One reading in, one verdict out, to the same bits; by list, by object, several at once."""
    (expected,) = ask(server, {"rows": ROWS, "read": "each", "model": f"tiny-sensors-{cell}"})
    with server.client() as client:
        id = client.post("/sessions", json={"model": f"tiny-sensors-{cell}"}).json()["id"]
        said: list[Any] = []
        for inputs in (ROWS[0], {"vibration": 0.7}, ROWS[2:]):
            answer = client.post(f"/sessions/{id}/steps", json={"seq": len(said) + 1, "inputs": inputs})
            said += answer.json()["outputs"]
        wrong = client.post(f"/sessions/{id}/steps", json={"inputs": {"vibration": 1, "heat": 2}})
        options = client.post("/sessions", json={"model": MODEL, "options": {"freq": "h"}})
    assert said == expected["steps"]
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "inputs.heat")
    assert options.json()["errors"][0]["field"] == "options.freq"


def test_a_socket_answers_rows_as_they_are_read(server: ServerProcess) -> None:
    """More rows than a run takes come in several frames; a wrong row costs its request alone."""
    with connect(f"{server.url.replace('http', 'ws', 1)}/sequence") as socket:
        for rows, expected in (([[0.1]], "rows.0"), (ROWS * 200, None)):
            socket.send(json.dumps({"model": MODEL, "rows": rows, "read": "each"}))
            steps: list[Any] = []
            while (frame := json.loads(socket.recv(timeout=30)))["type"] == "outputs":
                assert (frame["sequence"], frame["first"]) == (0, len(steps))
                steps += frame["steps"]
            if expected is not None:
                assert (frame["type"], frame["errors"][0]["field"]) == ("error", expected)
            else:
                assert len(steps) == frame["results"][0]["length"] == 1000
    assert steps == ask(server, {"rows": ROWS * 200, "read": "each"})[0]["steps"]


def test_a_table_is_shown_as_it_is_read(server: ServerProcess) -> None:
    """What a session of those rows says is what the table gets; nothing is run for a wrong one."""
    csv = "machine;temperature;note;vibration\nn;1.234,5;y;2\nm;;x;0,1\nn;21;z;-0,7\n"
    query = f"?model={MODEL}&id=machine"
    with server.client() as client:
        for sent in (
            {"content": csv.encode("utf-16"), "headers": {"content-type": "text/csv"}},
            {"json": {"csv": csv, "id": "machine", "model": MODEL}},
        ):
            answer = client.post(f"/sequence/rows{query if 'content' in sent else ''}", **sent).json()
            assert answer["columns"] == ["vibration", "temperature"]
            assert answer["others"] == ["machine", "note"]
            rows = {one["id"]: one["rows"] for one in answer["sequences"]}
            assert rows == {"n": [[2, 1234.5], [-0.7, 21]], "m": [[0.1, None]]}
        id = client.post("/sessions", json={"model": MODEL}).json()["id"]
        said = client.post(f"/sessions/{id}/steps", json={"inputs": rows["n"]}).json()["outputs"]
        headers = {"content-type": "text/csv"}
        table = client.post(f"/sequence{query}&read=each", content=csv, headers=headers).json()
        assert said == table["results"][0]["steps"]
        wrong = client.post("/sequence/rows", json={"csv": "vibration\nx\n", "model": MODEL}).json()
        assert wrong["errors"][0]["field"] == "temperature"
        letters = client.post("/sequence/rows", json={"csv": "a\n1\n", "model": "tiny-names"}).json()
        assert "which a CSV cannot say" in letters["detail"]


def test_the_document_has_a_request_in_the_columns_of_each_model(
    server: ServerProcess, models: Path, tmp_path: Path
) -> None:
    """Each is answered; where keys are asked for, the document is open to everybody and names no model."""
    with server.client() as client:
        document = client.get("/openapi.json").json()
        body = document["paths"]["/sequence"]["post"]["requestBody"]["content"]["application/json"]
        shown = {name: one["value"] for name, one in body["examples"].items() if "@" in name}
        assert set(shown) == {"tiny-names@1", *(f"tiny-sensors-{cell}@1" for cell in CELLS)}
        assert shown[f"{MODEL}@1"]["rows"] == [{"vibration": 0.0, "temperature": 0.0}]
        assert {client.post("/sequence", json=one).status_code for one in shown.values()} == {200}
    keys = tmp_path / "keys.toml"
    keys.write_text(f'[keys.alice]\nhash = "{shown_digest(new_key())}"\n')
    with ServerProcess(models, keys=keys) as guarded, guarded.client() as client:
        assert "tiny-" not in client.get("/openapi.json").text


def test_tokens_and_texts_are_one(server: ServerProcess) -> None:
    """A text is its tokens; the manifest says that each step is read; one number tells two labels apart."""
    with server.client() as client:
        card = client.get("/models/tiny-names").json()["inputs"]
        assert (card["text"], card["example"]["text"]) == (True, "abc")
        text = client.post("/sequence", json={"text": "dab.", "model": "tiny-names"}).json()["results"]
        wrong = client.post("/sequence", json={"rows": [1, card["vocabulary"]], "model": "tiny-names"})
        given = client.post("/sequence", json={**card["example"]})
    assert (given.status_code, wrong.json()["errors"][0]["field"]) == (200, "rows.1")
    (result,) = text
    assert len(result["steps"]) == 4
    scores = result["outputs"]["language"]["scores"]
    assert set(scores) == {"here", "elsewhere"}
    assert sum(scores.values()) == pytest.approx(1, abs=2e-6)


def test_triton_reads_columns_and_outputs_by_name(server: ServerProcess) -> None:
    """The unmodified client: ``[batch, time, columns]``, and a sequence step by step."""
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    rows = np.array([ROWS, ROWS[::-1]], np.float32)

    def tensor(array: np.ndarray) -> triton.InferInput:
        given = triton.InferInput("x", list(array.shape), "FP32")
        given.set_data_from_numpy(array)
        return given

    found = client.infer(MODEL, [tensor(rows)])
    expected = ask(server, {"sequences": [{"rows": ROWS}, {"rows": ROWS[::-1]}]})
    for index, result in enumerate(expected):
        state = result["outputs"]["state"]
        assert found.as_numpy("state_label")[index].decode() == state["label"]
        np.testing.assert_allclose(found.as_numpy("state_scores")[index], [*state["scores"].values()])
        assert found.as_numpy("next")[index] == pytest.approx(result["outputs"]["next"])
    for place in range(5):
        answer = client.infer(
            MODEL,
            [tensor(rows[:1, place : place + 1])],
            sequence_id=3,
            sequence_start=place == 0,
            sequence_end=place == 4,
        )
    assert answer.as_numpy("step_next").shape == (1, 1, 1)
    assert answer.as_numpy("next")[0] == pytest.approx(expected[0]["outputs"]["next"])
    with pytest.raises(triton.InferenceServerException, match=r"Expected \[batch, time, 2\]"):
        client.infer(MODEL, [tensor(rows[:, :, :1])])
    client.close()
