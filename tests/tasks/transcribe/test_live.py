"""Live streams and sessions of sound."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import ClientConnection, connect

from tests.e2e.server import ServerProcess
from tests.tasks.transcribe.sounds import RATE, sound, text_of, wav


def live(server: ServerProcess) -> ClientConnection:
    return connect(f"{server.url.replace('http', 'ws', 1)}/transcribe")


def received(socket: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """All frames up to the first of this kind."""
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["type"] != kind:
        frames.append(json.loads(socket.recv(timeout=30)))
        assert frames[-1]["type"] != "error" or kind == "error", frames[-1]
    return frames


def finals(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in frame.items() if key not in ("type", "segment")}
        for frame in frames
        if frame["type"] == "final"
    ]


def test_a_live_stream_gives_what_the_file_gives(server: ServerProcess, http: httpx2.Client) -> None:
    """Two streams in turn on one socket; mistakes in between end nothing but themselves."""
    samples = sound(2.0, 5)
    expected = http.post("/transcribe", content=wav(samples), headers={"content-type": "audio/wav"}).json()
    with live(server) as socket:
        socket.send(b"\0\0")
        assert received(socket, "error")[-1]["detail"].startswith("no stream is open")
        socket.send(json.dumps({"type": "start", "sample_rate": 11_025}))
        assert received(socket, "error")[-1]["errors"][0]["allowed"] == [8000, 16_000, 24_000, 32_000, 48_000]
        for cut in (640, 7001):
            socket.send(json.dumps({"type": "start", "sample_rate": RATE}))
            assert received(socket, "ready")[-1] == {"type": "ready", "model": "tiny-ears@1", "samples": 0}
            data = samples.tobytes()
            for first in range(0, len(data), cut):
                socket.send(data[first : first + cut])
            socket.send(json.dumps({"type": "finish"}))
            frames = received(socket, "done")
            assert finals(frames) == expected["segments"]
            assert frames[-1] == {
                "type": "done",
                "samples": len(samples),
                "segments": len(expected["segments"]),
            }
            taken = [frame["samples"] for frame in frames if frame["type"] == "partial"]
            assert taken == sorted(taken)


def test_what_ends_a_live_stream_ends_nothing_else(server: ServerProcess) -> None:
    """Half a sample at its end, or a frame over the limit; what comes behind is dropped, up to a start."""
    start, finish = json.dumps({"type": "start", "sample_rate": RATE}), json.dumps({"type": "finish"})
    second = sound(1.0).tobytes()
    with live(server) as socket:
        socket.send(start)
        socket.send(second[:333])
        socket.send(finish)
        assert received(socket, "error")[-1]["errors"][0]["field"] == "inputs.pcm16"
        # A frame may end in a sample that the next one goes on with.
        socket.send(start)
        socket.send(second[:333])
        assert received(socket, "partial")[-1]["samples"] == 166
        socket.send(second[333:])
        assert received(socket, "partial")[-1]["samples"] == RATE
        socket.send(finish)
        received(socket, "done")
        socket.send(start)
        for data in (second, bytes(2**20 + 1), second, second):
            socket.send(data)
        socket.send(start)
        frames = received(socket, "error")
        assert frames[-1]["detail"].startswith("the body is larger than the limit")
        assert received(socket, "ready") == [{"type": "ready", "model": "tiny-ears@1", "samples": 0}]
        # Once it has finished, another one may start at once, however much there is to hear yet.
        for _ in range(60):
            socket.send(second)
        socket.send(finish)
        socket.send(start)
        assert received(socket, "done")[-1]["samples"] == 60 * RATE
        assert received(socket, "ready")[-1]["samples"] == 0


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"session": "a/b"}, "'a/b' is no id of a session"),
        ({"session": "others", "model": "tiny-ears@2"}, "belongs to tiny-ears@1, not to tiny-ears@2"),
        ({"session": "others", "encoding": "mulaw"}, "began with pcm16"),
        ({"session": "others", "endpoint": 5}, "endpoint: unknown field"),
    ],
)
def test_a_stream_goes_on_with_what_its_session_began_with(
    server: ServerProcess, start: dict[str, Any], message: str
) -> None:
    """Another model, or other samples, are refused."""
    with live(server) as socket:
        socket.send(json.dumps({"type": "start", "sample_rate": RATE, "session": "others"}))
        received(socket, "ready")
        socket.send(sound(0.1).tobytes())
        received(socket, "partial")
    with live(server) as socket:
        socket.send(json.dumps({"type": "start", "sample_rate": RATE, **start}))
        assert message in received(socket, "error")[-1]["detail"]


def test_a_stream_that_falls_silent_is_closed(models: Path) -> None:
    """Silence is samples too; what sends none has gone."""
    with ServerProcess(models, socket_idle_s=0.3) as server, live(server) as socket:
        socket.send(json.dumps({"type": "start", "sample_rate": RATE}))
        with pytest.raises(ConnectionClosedOK, match=r"no request came for 0\.3 s"):
            received(socket, "done")


def test_a_session_is_one_of_the_task_and_says_what_it_heard(http: httpx2.Client) -> None:
    """By steps in base64: less than a step of the network, an empty one, and after the end."""
    samples = sound(1.2, 8).tobytes()
    http.post("/sessions", json={"task": "transcribe", "id": "steps"}).raise_for_status()

    def step(seq: int, inputs: object) -> httpx2.Response:
        return http.post("/sessions/steps/steps", json={"seq": seq, "inputs": inputs})

    first = step(1, {"pcm16": text_of(samples[:20])})
    assert first.json()["outputs"][0] == {
        **{"samples": 10, "text": "", "segments": [], "heard": 0, "finished": False}
    }
    assert step(1, {"pcm16": text_of(samples[:20])}).json() == first.json()
    assert step(2, {"pcm16": ""}).json()["step"] == 2
    assert step(3, {"pcm16": text_of(samples[20:]), "finish": True}).json()["outputs"][0]["finished"]
    refused = step(4, {"pcm16": ""})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "inputs")
    wrong = http.post("/sessions", json={"task": "transcribe", "options": {"rate": 11_025}})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "options.rate")


def test_a_rewound_and_a_forked_session_hear_again_what_they_heard(http: httpx2.Client) -> None:
    """What is remembered of outputs goes with the state."""
    samples = sound(2.0, 9).tobytes()
    http.post("/sessions", json={"task": "transcribe", "id": "first"}).raise_for_status()
    url = "/sessions/first"
    http.post(f"{url}/steps", json={"inputs": {"pcm16": text_of(samples[:9000])}}).raise_for_status()
    http.post(f"{url}/snapshots", json={"name": "half"}).raise_for_status()
    state = http.get(f"{url}/state").json()["state"]
    http.post(f"{url}/fork", json={"id": "second"}).raise_for_status()
    http.post("/sessions", json={"id": "third", "state": state}).raise_for_status()
    rest = {"inputs": {"pcm16": text_of(samples[9000:]), "finish": True}}
    expected = http.post(f"{url}/steps", json=rest).json()["outputs"]
    http.post(f"{url}/rewind", json={"to": "half"}).raise_for_status()
    for id in ("first", "second", "third"):
        assert http.post(f"/sessions/{id}/steps", json=rest).json()["outputs"] == expected
    http.post(f"{url}/rewind", json={"to": 0}).raise_for_status()
    again = http.post(f"{url}/steps", json={"inputs": {"pcm16": text_of(samples), "finish": True}}).json()
    whole = http.post("/transcribe", json={"pcm16": text_of(samples), "rate": RATE}).json()["segments"]
    heard = [{k: v for k, v in one.items() if k != "segment"} for one in again["outputs"][0]["segments"]]
    assert heard == whole


def test_a_killed_stream_goes_on_from_its_samples(models: Path, tmp_path: Path) -> None:
    """In the middle of a word, and of a step: the same text, times and confidences."""
    samples = sound(3.0, 10)
    start = json.dumps({"type": "start", "sample_rate": RATE, "session": "call", "model": "tiny-ears"})
    with ServerProcess(models, state_dir=tmp_path) as server, server.client() as http:
        answer = http.post(
            "/transcribe?model=tiny-ears", content=wav(samples), headers={"content-type": "audio/wav"}
        )
        expected = answer.json()["segments"]
        with live(server) as socket:
            socket.send(start)
            received(socket, "ready")
            for first in range(0, 12_345, 100):
                socket.send(samples[first : first + 100].tobytes())
            frames = received(socket, "partial")
            server.kill()
            before = finals(frames)
    with ServerProcess(models, state_dir=tmp_path) as server, live(server) as socket:
        socket.send(start)
        ready = received(socket, "ready")[-1]
        assert frames[-1]["samples"] <= ready["samples"] <= 12_400
        socket.send(samples[ready["samples"] :].tobytes())
        socket.send(json.dumps({"type": "finish"}))
        after = received(socket, "done")
        socket.send(json.dumps({"type": "start", "sample_rate": 16_000, "session": "call"}))
        assert received(socket, "error")[-1]["errors"][0]["field"] == "sample_rate"
    heard = finals(after)
    assert before + heard == expected or heard == expected[len(expected) - len(heard) :]
    assert after[-1]["segments"] == len(expected)


def test_many_live_streams_hear_what_each_hears_alone(server: ServerProcess, http: httpx2.Client) -> None:
    """Sixteen at once, in pieces of forty milliseconds."""
    sounds = [sound(1.0, 20 + index) for index in range(16)]
    found: dict[int, list[dict[str, Any]]] = {}

    def stream(index: int) -> None:
        with live(server) as socket:
            socket.send(json.dumps({"type": "start", "sample_rate": RATE}))
            data = sounds[index].tobytes()
            for first in range(0, len(data), 640):
                socket.send(data[first : first + 640])
            socket.send(json.dumps({"type": "finish"}))
            found[index] = finals(received(socket, "done"))

    threads = [threading.Thread(target=stream, args=(index,)) for index in range(len(sounds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, samples in enumerate(sounds):
        alone = http.post("/transcribe", content=wav(samples), headers={"content-type": "audio/wav"}).json()
        assert found[index] == alone["segments"]
