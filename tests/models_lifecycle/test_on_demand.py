"""Models that are loaded when they are needed, by real servers over folders of many bundles."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import tiny_forecaster, tiny_generator
from tests.e2e.server import ServerProcess
from tests.models_lifecycle.many import FORECAST, copy_as, forecast, in_memory, memory_of
from tests.models_lifecycle.shelf import ASK, Traffic, text_of, until

NUM = 300
MIB = 2**20
ROOM_FOR_FEW = 14 * MIB
"""Of the tiny ones, which count as about 3 MiB."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A forecaster to be copied."""
    return tiny_forecaster(tmp_path_factory.mktemp("forecaster"))


@pytest.fixture(scope="module")
def many(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hundred forecasters and a generator."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(NUM):
        copy_as(bundle, folder, f"m{number:03d}")
    tiny_generator(folder, name="text")
    return folder


@pytest.fixture(scope="module")
def server(many: Path, expected: Any) -> Iterator[ServerProcess]:
    """With room for four models. It starts when no further link to the bundle's files is made, which would be
    a change of all.
    """
    flags = {"models_memory_bytes": ROOM_FOR_FEW, "metrics_models": 3, "models_poll_s": 0.2}
    with ServerProcess(many, load="on-demand", forked=False, **flags) as server:
        yield server


@pytest.fixture(scope="module")
def expected(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What each forecaster says, by a server that loads all it has."""
    folder = tmp_path_factory.mktemp("one")
    copy_as(bundle, folder, "m000")
    with ServerProcess(folder) as server, server.client() as client:
        assert "loaded" not in client.get("/models").json()["models"][0]
        return forecast(client, "m000")


def test_models_are_served_before_they_are_loaded(server: ServerProcess, expected: Any) -> None:
    """The first use loads one, and no other; lists and metrics say so."""
    with server.client() as client:
        until(lambda: f"{NUM + 1} models are loaded when they are needed" in server.log, "its word")
        assert in_memory(client) == []
        assert len(client.get("/readyz").json()["models"]) == NUM + 1
        assert forecast(client, "m007") == expected
        assert in_memory(client) == ["m007"]
        index = {one["name"]: one for one in client.post("/v2/repository/index").json()}
        assert {one["state"] for one in index.values()} == {"READY"}
        assert (index["m007"]["reason"], index["m008"]["reason"] != "") == ("", True)
        assert client.get("/models/m008").json()["loaded"]
        assert server.metric("rnnserve_models_in_memory") == 2
        assert client.get("/v2/models/m009/ready").status_code == 200
        assert client.get("/v2/models/m009").json()["inputs"]
        assert sorted(in_memory(client)) == ["m007", "m008", "m009"]


def test_many_requests_for_one_model_share_its_load(server: ServerProcess, expected: Any) -> None:
    """And all are answered."""
    before = server.metric("rnnserve_model_events_total", event="loaded")
    with server.client() as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: forecast(client, "m020"), range(16)))
    assert answers == [expected] * 16
    assert server.metric("rnnserve_model_events_total", event="loaded") == before + 1


def test_models_that_run_are_not_evicted_for_others(server: ServerProcess, expected: Any) -> None:
    """Streams end as they would have alone, while models come and go in what room is left."""
    with server.client() as client:
        alone = text_of(client)
        traffic = Traffic(server)
        with traffic.running(plain=1, streams=3):
            evicted = server.metric("rnnserve_model_events_total", event="evicted")
            for number in range(100, 145):
                assert forecast(client, f"m{number}") == expected
            assert server.metric("rnnserve_model_events_total", event="evicted") > evicted + 35
            assert server.metric("rnnserve_models_memory_bytes") <= ROOM_FOR_FEW
        assert traffic.failures == []
        assert set(traffic.answers) == {alone}
        assert len(in_memory(client)) <= ROOM_FOR_FEW // (3 * MIB)


def test_metrics_have_few_models(server: ServerProcess) -> None:
    """However many are used: the rest is counted together."""
    before = server.metric("rnnserve_requests_total", outcome="ok")
    with server.client() as client:
        for number in range(200, 210):
            forecast(client, f"m{number}")
        labels = set(re.findall(r'model="([^"]+)"', client.get("/metrics").text))
    assert len(labels - {"other", "default", "unknown"}) == 3
    assert server.metric("rnnserve_requests_total", model="other") > 0
    assert server.metric("rnnserve_requests_total", outcome="ok") == before + 10


def test_sessions_outlive_eviction_and_kills(many: Path, tmp_path: Path) -> None:
    """Sessions on twice as many models as there is room for go on to the bits of those that stay loaded."""
    names = [f"m{number:03d}" for number in range(8)]

    def steps(server: ServerProcess, first: int, last: int) -> list[bytes]:
        with server.client() as client, ThreadPoolExecutor(len(names)) as pool:

            def feed(name: str) -> list[bytes]:
                path = f"/sessions/{name}/steps"
                calls = [{"seq": seq, "inputs": [float(seq % 7)]} for seq in range(first, last)]
                return [client.post(path, json=call).raise_for_status().content for call in calls]

            if first == 1:
                for name in names:
                    body = {"id": name, "model": name}
                    assert client.post("/sessions", json=body).status_code == 201
            return [answer for answers in pool.map(feed, names) for answer in answers]

    few = {"load": "on-demand", "models_memory_bytes": ROOM_FOR_FEW, "sessions": f"lmdb:{tmp_path / 'few'}"}
    server = ServerProcess(many, **few)
    server.wait_until_ready()
    first = steps(server, 1, 6)
    assert server.metric("rnnserve_model_events_total", event="evicted") > len(names)
    server.kill()
    with ServerProcess(many, **few) as again:
        second = steps(again, 6, 11)
    with ServerProcess(many, load="on-demand") as roomy:
        assert (steps(roomy, 1, 6), steps(roomy, 6, 11)) == (first, second)
        assert roomy.metric("rnnserve_models_in_memory") == len(names)


def test_a_load_that_fails_is_told_and_tried_again(bundle: Path, tmp_path: Path) -> None:
    """Others are not touched by it, the log has no loose end, and a good file is served."""
    good = copy_as(bundle, tmp_path, "good")
    bad = copy_as(bundle, tmp_path, "bad")
    (bad / "model.onnx").unlink()
    (bad / "model.onnx").write_bytes(b"no graph")
    with ServerProcess(tmp_path, load="on-demand", models_poll_s=0.1) as server, server.client() as client:
        with ThreadPoolExecutor(8) as pool:
            asked = [
                pool.submit(client.post, "/forecast", json=FORECAST | {"model": "bad"}) for _ in range(8)
            ]
            forecast(client, "good")
            answers = [each.result() for each in asked]
        assert {answer.status_code for answer in answers} == {503}
        problem = answers[0].json()
        assert problem["type"].endswith(":model-not-loaded")
        assert "bad@1: a file is not the one that its manifest records" in problem["detail"]
        assert int(answers[0].headers["retry-after"]) >= 1
        states = {one["name"]: one["status"] for one in client.get("/models").json()["models"]}
        assert states == {"good": "ready", "bad": "broken"}
        assert client.post("/admin/models/bad/load").status_code == 409
        session = client.post("/sessions", json={"model": "bad"})
        assert session.json()["type"].endswith(":model-not-loaded")
        (bad / "model.onnx").unlink()
        (bad / "model.onnx").hardlink_to(good / "model.onnx")
        asks = FORECAST | {"model": "bad"}
        until(lambda: client.post("/forecast", json=asks).status_code == 200, "the repair", server=server)
        assert forecast(client, "bad") == forecast(client, "good")
    assert "never retrieved" not in server.log
    assert "Traceback" not in server.log


def test_commands_load_and_unload(many: Path, tmp_path: Path) -> None:
    """Loading by name brings a model into memory, before the first request too; unloading takes it out."""
    copy_as(many / "text" / "1", tmp_path, "words")
    copy_as(many / "m000" / "1", tmp_path, "series")
    with ServerProcess(tmp_path, load="on-demand", preload="series") as server, server.client() as client:
        assert in_memory(client) == ["series"]
        assert client.post("/admin/models/words/load").status_code == 200
        assert in_memory(client) == ["series", "words"]
        assert client.post("/admin/models/words/unload").status_code == 200
        assert client.post("/generate", json=ASK).status_code == 404
        assert client.post("/v2/repository/models/words/load").status_code == 200
        assert in_memory(client) == ["series", "words"]
        assert text_of(client)[0] == "words@1"


def test_a_signal_waits_for_a_load(many: Path) -> None:
    """What was asked before it is answered, and the server ends well; with two workers too."""
    with (
        ServerProcess(many, load="on-demand", workers=2, sessions="off") as server,
        ThreadPoolExecutor(8) as pool,
    ):
        with server.client() as client:
            names = [f"m{number:03d}" for number in range(8)]
            asked = [pool.submit(client.post, "/forecast", json=FORECAST | {"model": n}) for n in names]
            until(
                lambda: server.metric("rnnserve_http_requests_in_flight") > 1 or asked[-1].done(), "requests"
            )
            server.signal(signal.SIGTERM)
            statuses = {each.result().status_code for each in asked}
        assert statuses <= {200, 503}
        assert server.wait() == 0
    assert "Traceback" not in server.log


def test_the_memory_of_an_evicted_model_comes_back(tmp_path: Path) -> None:
    """Three large models take turns where there is room for one."""
    made = tiny_generator(tmp_path / "made", hidden=640)
    models = tmp_path / "models"
    for name in ("one", "two", "three"):
        copy_as(made, models, name)
    flags = {"load": "on-demand", "models_memory_bytes": 64 * MIB}
    with ServerProcess(models, forked=False, **flags) as server, server.client() as client:
        before = memory_of(server.pid)
        first = text_of(client, "one")[1]
        each = memory_of(server.pid) - before
        assert each > 20 * MIB
        for name in ("two", "three", "one", "two", "three"):
            assert text_of(client, name)[1] == first
        until(lambda: memory_of(server.pid) - before < 1.7 * each, "the end of what was evicted")
