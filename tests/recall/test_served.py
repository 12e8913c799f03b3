"""A real server with encoders: the same answer alone and in a crowd, and on another server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from tests.e2e.server import ServerProcess
from tests.recall.network import VOCABULARY, pictures
from tests.security.conftest import KeyFile

NEIGHBOURS = 64
models = pytest.mark.parametrize("model", ["recall", "recall-lstm", "recall-rnn"])


def drawn(seed: int, num: int, longest: int = 128) -> list[list[int]]:
    """Sources of many lengths."""
    random = np.random.default_rng(seed)
    return [
        random.integers(0, VOCABULARY, random.integers(1, longest, endpoint=True)).tolist()
        for _ in range(num)
    ]


def asked(client: httpx2.Client, model: str, sources: list[Any], **more: Any) -> list[list[int]]:
    """The tokens of each."""
    answer = client.post("/recall", json={"model": model, "sources": sources, "max_tokens": 16, **more})
    assert answer.status_code == 200, answer.text
    tokens: list[list[int]] = answer.json()["tokens"]
    return tokens


@models
def test_an_answer_is_the_same_alone_and_among_others(server: ServerProcess, model: str) -> None:
    """One at a time; all in one request; in another order; each from a connection of its own at once."""
    sources = drawn(1, NEIGHBOURS)
    with server.client() as client:
        alone = [asked(client, model, [source], temperature=0.8, seed=3)[0] for source in sources]
        assert asked(client, model, sources, temperature=0.8, seed=3) == alone
        assert asked(client, model, sources[::-1], temperature=0.8, seed=3) == alone[::-1]
        with ThreadPoolExecutor(NEIGHBOURS) as pool:
            crowd = pool.map(lambda one: asked(client, model, [one], temperature=0.8, seed=3)[0], sources)
            assert list(crowd) == alone


def test_pictures_likewise(server: ServerProcess) -> None:
    """A network that reads numbers of one shape."""
    seen = [picture.tolist() for picture in pictures(5, 30)]
    with server.client() as client:
        alone = [asked(client, "seen", [picture])[0] for picture in seen]
        assert asked(client, "seen", seen) == alone
    assert len({tuple(one) for one in alone}) > 1


def test_the_logits_of_an_answer_are_those_of_a_session(server: ServerProcess) -> None:
    """To the last bit: as blocks of a request, and step by step."""
    source, target = drawn(2, 1)[0], [0, 5, 9, 1]
    with server.client() as client:
        body = {"sources": [source, *drawn(3, 5)], "targets": [target, *drawn(4, 5, 20)]}
        forced = client.post("/recall/forced", json=body).json()["logits"][0]
        client.post("/sessions", json={"id": "bits", "model": "recall", "options": {"source": source}})
        stepped = [
            client.post("/sessions/bits/steps", json={"inputs": token}).json()["outputs"][0]["logits"]
            for token in target
        ]
    assert stepped == forced


def test_a_session_goes_on_where_another_process_left_it(recall_models: Path, tmp_path: Path) -> None:
    """Killed in between: what its steps attend to is made again, to the same bits, from a small record."""
    source, inputs = drawn(6, 1)[0], [[0], [4, 7], [2], [9]]
    said: list[Any] = []
    sizes: list[int] = []
    for split in (len(inputs), 2):
        folder = tmp_path / str(split)
        outputs: list[Any] = []
        for part, first in ((inputs[:split], True), (inputs[split:], False)):
            with ServerProcess(recall_models, tasks="recall", sessions=f"lmdb:{folder}") as running:
                running.wait_until_ready()
                with running.client() as client:
                    if first:
                        body = {"id": "s", "model": "recall", "options": {"source": source}}
                        assert client.post("/sessions", json=body).status_code == 201
                    for step in part:
                        answer = client.post("/sessions/s/steps", json={"inputs": step})
                        assert answer.status_code == 200, answer.text
                        outputs += answer.json()["outputs"]
                    state = client.get("/sessions/s/state").json()["state"]
                    sizes.append(len(state))
                running.kill()
        said.append(outputs)
    assert said[0] == said[1]
    assert max(sizes) < 4096


def test_a_session_goes_on_by_itself(server: ServerProcess) -> None:
    """An action from its state is what a request from its start is."""
    source = drawn(7, 1)[0]
    with server.client() as client:
        whole = asked(client, "recall", [source])[0]
        client.post("/sessions", json={"id": "own", "model": "recall", "options": {"source": source}})
        first = client.post("/sessions/own/recall", json={"max_tokens": 6, "advance": True}).json()
        assert first["tokens"][0] == whole[:6]
        forced = [0, *whole[:5]]
        assert first["step"] == len(forced)
        fork = client.post("/sessions/own/fork", json={"id": "fork"})
        assert fork.status_code == 201
        for id in ("own", "fork"):
            step = client.post(f"/sessions/{id}/steps", json={"inputs": [whole[5]]}).json()["outputs"][0]
            assert int(np.argmax(step["logits"])) == whole[6]


@pytest.mark.parametrize("num", [1, 128])
def test_the_shortest_and_the_longest_source(server: ServerProcess, num: int) -> None:
    """Both are read."""
    with server.client() as client:
        assert len(asked(client, "recall", [[3] * num])[0]) == 16


@pytest.mark.parametrize("num", [0, 129])
def test_a_source_that_is_empty_or_too_long_is_refused(server: ServerProcess, num: int) -> None:
    """By its field, before anything runs."""
    with server.client() as client:
        answer = client.post("/recall", json={"sources": [[1], [3] * num]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "sources.1"


def test_what_is_attended_to_is_bounded(recall_models: Path) -> None:
    """What nobody uses any more makes room; a request that needs more than there is, is refused for good."""
    each = 128 * (8 + 32) * 4  # positions of a key and a value
    limit = 6 * each
    with ServerProcess(recall_models, tasks="recall", max_attended_bytes=limit) as running:
        running.wait_until_ready()
        with running.client() as client:
            for seed in range(20):
                assert client.post("/recall", json={"sources": drawn(seed, 3)}).status_code == 200
            assert 0 < running.metric("rnnserve_attended_bytes") <= limit
            assert running.metric("rnnserve_attended_bytes_limit") == limit
            sources = [[seed] * 128 for seed in range(8)]
            answer = client.post("/recall", json={"sources": sources})
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["allowed"] == {"max": limit}


def test_its_encoder_is_counted_by_itself(server: ServerProcess) -> None:
    """Runs, steps and health of both engines; and a source that is asked for again is not encoded again."""
    model = "recall@1/encoder"
    with server.client() as client:
        before = server.metric("rnnserve_steps_total", model=model)
        for _ in range(3):
            asked(client, "recall", [[11, 12, 13, 14, 15]])
        assert server.metric("rnnserve_steps_total", model=model) == before + 8
        assert server.metric("rnnserve_engine_up", model=model) == 1
        assert server.metric("rnnserve_engine_up", model="recall@1") == 1
        assert server.metric("rnnserve_sequences", model=model) == 0


def test_the_tokens_of_a_source_count_as_steps(recall_models: Path, tmp_path: Path) -> None:
    """Against the rate of a key, of requests and of sessions; what is there already does not count."""
    keys = KeyFile(tmp_path / "keys.toml")
    headers = {"x-api-key": keys.add("thin", "steps_per_s = 2")}
    other = {"x-api-key": keys.add("other", "steps_per_s = 2")}
    asked_for, begun = {"sources": [[3] * 120], "max_tokens": 1}, {"sources": [[4] * 120], "max_tokens": 1}
    with ServerProcess(recall_models, tasks="recall", keys=keys.path, key_burst_s=75) as running:
        running.wait_until_ready()
        with running.client() as client:
            assert client.post("/recall", json=asked_for, headers=headers).status_code == 200
            assert client.post("/recall", json=begun, headers=headers).status_code == 429
            assert client.post("/recall", json=asked_for, headers=headers).status_code == 200
            for id, source, status in (("a", [5] * 120, 200), ("b", [6] * 120, 429), ("c", [5] * 120, 200)):
                body = {"id": id, "model": "recall", "options": {"source": source}}
                assert client.post("/sessions", json=body, headers=other).status_code == 201
                step = client.post(f"/sessions/{id}/steps", json={"inputs": 1}, headers=other)
                assert step.status_code == status


def test_an_engine_on_the_event_loop_gives_the_same(recall_models: Path, server: ServerProcess) -> None:
    """The encoder beside it has its thread all the same."""
    sources = drawn(8, 40)
    with ServerProcess(recall_models, tasks="recall", engines="loop") as on_loop:
        on_loop.wait_until_ready()
        with server.client() as one, on_loop.client() as other:
            assert asked(other, "recall", sources) == asked(one, "recall", sources)
