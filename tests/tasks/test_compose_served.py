"""Music from a real server: content types, streams, sockets, sessions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient import http as triton
from websockets.sync.client import connect

from app.tasks.compose.midi import read_midi
from app.tasks.compose.music import Note
from tests.bundles import TINY_VOICES, tiny_composer
from tests.e2e.server import ServerProcess

NAMES = [voice.name for voice in TINY_VOICES]
OPENED = {"task": "compose", "model": "tiny-music"}
MELODY: list[dict[str, Any]] = [
    {"pitch": 62, "duration": 2},
    {"pitch": 62, "duration": 1},
    {"pitch": None, "duration": 1},
    {"pitch": 65, "duration": 3},
]
PLACED = [(62, 0, 2), (62, 2, 1), (65, 4, 3)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three voices, the first ahead of the others."""
    folder = tmp_path_factory.mktemp("models")
    tiny_composer(folder)
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[ServerProcess]:
    """Serves them."""
    with ServerProcess(models, tasks="compose") as server:
        yield server


def test_midi_json_sound_and_streams_hold_the_same_piece(server: ServerProcess) -> None:
    """By Accept and content type, over HTTP, server-sent events and a socket."""
    body = {"model": "tiny-music", "melody": MELODY, "steps": 12, "seed": 3, "n": 2}
    with server.client() as client:
        answer = client.post("/compose", json=body).json()
        written = client.post("/compose", json=body, headers={"accept": "audio/midi"})
        assert written.headers["content-type"] == "audio/midi"
        sound = client.post("/compose", json=body, headers={"accept": "audio/wav"})
        assert (sound.headers["content-type"], sound.content[:4]) == ("audio/wav", b"RIFF")
        one = client.post("/compose", json={**body, "n": 1}, headers={"accept": "audio/midi"}).content
        scores = [
            client.post("/compose/score", json={"model": "tiny-music", "steps": piece["steps"]}).json()
            for piece in answer["pieces"]
        ]
        headers = {"content-type": "audio/midi"}
        by_midi = client.post("/compose/score?model=tiny-music", content=one, headers=headers).json()
        kept = client.post("/compose?model=tiny-music&seed=9", content=one, headers=headers).json()
        events = client.post("/compose", json={**body, "stream": True}).text
        wrong = client.post("/compose?model=tiny-music", content=b"RIFF", headers=headers)
    soprano = [
        (note["pitch"], note["start"], note["duration"]) for note in answer["pieces"][0]["notes"]["soprano"]
    ]
    assert soprano[:3] == PLACED
    parts = read_midi(written.content, 2, 100, 10_000, "body")
    assert {part.name: [note for note in part.notes if note.start < 12] for part in parts} == {
        name: [Note(note["pitch"], note["start"], note["duration"]) for note in line]
        for name, line in answer["pieces"][0]["notes"].items()
    }
    told_nats = [piece["nats"] for piece in answer["pieces"]]
    assert told_nats == pytest.approx([score["nats"] for score in scores], abs=1e-4)
    assert by_midi == scores[0]
    assert kept["pieces"][0]["steps"] == answer["pieces"][0]["steps"]
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "midi")
    frames = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: ")]
    with connect(f"{server.url.replace('http', 'ws', 1)}/compose") as socket:
        socket.send(json.dumps(body))
        over_socket = [json.loads(socket.recv(timeout=30))]
        while over_socket[-1]["type"] != "done":
            over_socket.append(json.loads(socket.recv(timeout=30)))
        socket.send(json.dumps({**body, "melody": [{"pitch": 1}]}))
        assert json.loads(socket.recv(timeout=30))["errors"][0]["field"] == "melody.0.pitch"
    for told in (frames, over_socket):
        for number, piece in enumerate(answer["pieces"]):
            steps: list[Any] = []
            for frame in told[:-1]:
                if frame["piece"] == number:
                    assert frame["first"] == len(steps)
                    steps += frame["steps"]
            assert steps == piece["steps"]
        assert told[-1] == {"type": "done", **answer}


def test_a_stream_that_is_stopped_keeps_whole_steps(server: ServerProcess) -> None:
    """The last frame has what was given out."""
    with connect(f"{server.url.replace('http', 'ws', 1)}/compose") as socket:
        socket.send(json.dumps({"model": "tiny-music", "steps": 4000, "seed": 1}))
        frames = [json.loads(socket.recv(timeout=30))]
        socket.send(json.dumps({"type": "stop"}))
        while frames[-1]["type"] != "done":
            frames.append(json.loads(socket.recv(timeout=30)))
    steps = [chord for frame in frames[:-1] for chord in frame["steps"]]
    (piece,) = frames[-1]["pieces"]
    assert piece["steps"] == steps
    assert piece["finish_reason"] == ("stopped" if len(steps) < 4000 else "length")


def test_a_session_is_played_along_with_forked_and_rewound(server: ServerProcess) -> None:
    """What is kept is what was told; chords fed by hand give the same state; the nats add up."""
    with server.client() as client:

        def post(path: str, **body: Any) -> Any:
            answer = client.post(path, json=body)
            assert answer.status_code < 300, answer.text
            return answer.json()

        for id in ("band", "hand"):
            post("/sessions", task="compose", model="tiny-music", id=id)
        first = post("/sessions/band/compose", melody=MELODY, seed=4, advance=True, seq=1)
        again = post("/sessions/band/compose", melody=MELODY, seed=4, advance=True, seq=1)
        assert (first["step"], again) == (7, first)
        fork = post("/sessions/band/fork", id="other")
        assert fork["step"] == 7
        more = {"steps": 5, "seed": 8, "advance": True}
        second = post("/sessions/band/compose", **more)
        assert post("/sessions/other/compose", **more) == second
        chords = [*first["pieces"][0]["steps"], *second["pieces"][0]["steps"]]
        assert second["step"] == len(chords) == 12
        fed = post("/sessions/hand/steps", inputs=[dict(zip(NAMES, chords[0], strict=True)), *chords[1:]])
        ending = {"steps": 4, "seed": 1, "end": True, "n": 2}
        last = post("/sessions/band/compose", **ending)
        assert last == post("/sessions/hand/compose", **ending)
        score = post("/compose/score", model="tiny-music", steps=chords)
        voices = [output["voices"] for output in fed["outputs"]]
        assert [each["bass"] is None for each in voices] == [True] * 2 + [False] * 10
        assert sum(each["soprano"] for each in voices) == pytest.approx(score["voices"]["soprano"], abs=1e-3)
        told = sum(each["bass"] or 0.0 for each in voices)
        assert 0 < told < score["voices"]["bass"]
        back = post("/sessions/hand/rewind", to=0)
        assert back["step"] == 0
        replayed = post("/sessions/hand/steps", inputs=chords)
        assert replayed["outputs"] == fed["outputs"]
        for wrong, field in (
            ([[1, 2]], "inputs.0"),
            ([{"basso": 3}], "inputs.0.basso"),
            ([[True, None, None]], "inputs.0.soprano"),
            ("x", "inputs"),
        ):
            refused = client.post("/sessions/hand/steps", json={"inputs": wrong})
            assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


def test_a_session_goes_on_after_a_kill(models: Path, tmp_path: Path) -> None:
    """To the same notes."""
    steps = {"steps": 6, "seed": 3, "advance": True}
    with ServerProcess(models, tasks="compose", state_dir=tmp_path) as server, server.client() as client:
        client.post("/sessions", json={**OPENED, "id": "a"}).raise_for_status()
        client.post("/sessions/a/compose", json=steps).raise_for_status()
        client.post("/sessions/a/fork", json={"id": "b"}).raise_for_status()
        whole = client.post("/sessions/b/compose", json=steps).json()
        server.kill()
    with ServerProcess(models, tasks="compose", state_dir=tmp_path) as server, server.client() as client:
        after = client.post("/sessions/a/compose", json=steps).json()
    assert after == whole


def test_triton_reads_chords(server: ServerProcess) -> None:
    """Nats of each step, as a session tells them; -1 is a rest."""
    chords = np.array([[[62, 50, 57], [62, -1, 57], [65, 50, -1]]], np.int64)
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    given_chords = triton.InferInput("chords", chords.shape, "INT64")
    given_chords.set_data_from_numpy(chords)
    found = client.infer("tiny-music", [given_chords]).as_numpy("step_nats")
    assert found is not None
    with server.client() as http:
        http.post("/sessions", json={**OPENED, "id": "t"}).raise_for_status()
        inputs = [[None if pitch < 0 else pitch for pitch in chord] for chord in chords[0].tolist()]
        fed = http.post("/sessions/t/steps", json={"inputs": inputs}).json()
    assert found[0].tolist() == pytest.approx([output["nats"] for output in fed["outputs"]], abs=1e-5)
