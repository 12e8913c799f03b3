"""Versions come, change and go while a real server answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.e2e.server import ServerProcess
from tests.models_lifecycle.shelf import ASK, Shelf, Traffic, entry, gives, states, text_of, until

POLL = {"models_poll_s": 0.2}


def test_versions_come_and_go_under_load_without_a_lost_request(shelf: Shelf, models: Path) -> None:
    """No request and no stream fails, and every answer is wholly of the version that it names."""
    with ServerProcess(models, **POLL) as server, server.client() as client:
        expected = [text_of(client)]
        traffic = Traffic(server)
        with traffic.running():
            for version in ("2", "3"):
                shelf.put(models, "text", version)
                until(gives(client, f"text@{version}"), f"text@{version}", server=server)
                expected.append(text_of(client))
            shelf.take(models, "text", "3")
            until(lambda: text_of(client)[0] == "text@2", "the way back", server=server)
            until(lambda: "text@3" not in states(client), "the end of text@3", server=server)
        assert len({text for _, text in expected}) == 3, "the versions must differ to be told apart"
        assert traffic.failures == []
        assert set(traffic.answers) == set(expected)


def test_a_stream_ends_on_the_version_it_began_with(shelf: Shelf, models: Path) -> None:
    """Though that version has been removed meanwhile, and the next stream gets the new one."""
    long = ASK | {"max_tokens": 90_000}
    with ServerProcess(models, max_tokens=100_000, **POLL) as server, server.client() as client:
        _, begins = text_of(client, max_tokens=500)
        with connect(server.websocket) as socket:
            socket.send(json.dumps(long))
            text = json.loads(socket.recv())["text"]
            shelf.put(models, "text", "2")
            shelf.take(models, "text", "1")
            until(lambda: text_of(client)[0] == "text@2", "the switch", server=server)
            until(lambda: states(client).get("text@1") == "draining", "the removal", server=server)
            assert client.post("/generate", json=ASK | {"model": "text@1"}).status_code == 404
            socket.send('{"type": "stop"}')
            while (frame := json.loads(socket.recv(60)))["type"] == "token":
                text += frame["text"]
            assert frame["type"] == "done", frame
            assert (frame["model"], frame["finish_reason"]) == ("text@1", "stopped")
            assert len(text) == frame["usage"]["completion_tokens"] > 500
            assert text.startswith(begins)
            socket.send(json.dumps(ASK))
            while (frame := json.loads(socket.recv(60)))["type"] == "token":
                pass
            assert frame["model"] == "text@2"
        until(lambda: "text@1" not in states(client), "the end of text@1", server=server)


def test_a_broken_bundle_disturbs_nothing_and_is_seen(shelf: Shelf, models: Path) -> None:
    """In the list, the log and the metrics; once it is mended it is served."""
    with ServerProcess(models, **POLL) as server, server.client() as client:
        bad = shutil.copytree(shelf.path("text", "2"), models / "text" / "2")
        graph = (bad / "model.onnx").read_bytes()
        (bad / "model.onnx").write_bytes(graph[:-1] + bytes([graph[-1] ^ 1]))
        until(lambda: states(client).get("text@2") == "broken", "the refusal", server=server)
        listed = entry(client, "text@2")
        assert listed["reason"] == "a file is not the one that its manifest records"
        assert listed["task"] is None
        assert str(models) not in client.get("/models").text
        assert text_of(client)[0] == "text@1"
        assert client.get("/readyz").status_code == 200
        assert client.get("/models/text@2").status_code == 404
        assert server.metric("rnnserve_models_bad") == 1
        assert server.metric("rnnserve_model_events_total", event="failed") == 1
        server.wait_for_log("bundle text/2: model.onnx does not have the sha256")
        (bad / "model.onnx").write_bytes(graph)
        until(lambda: text_of(client)[0] == "text@2", "the mended bundle", server=server)
        assert server.metric("rnnserve_models_bad") == 0


@pytest.mark.parametrize("last", ["manifest.json", "model.onnx"])
def test_a_bundle_that_is_still_being_copied_is_never_given_up(shelf: Shelf, models: Path, last: str) -> None:
    """Not even when the copy stands still for longer than a bundle takes to settle."""
    source = shelf.path("text", "2")
    with ServerProcess(models, **POLL) as server, server.client() as client:
        target = models / "text" / "2"
        target.mkdir()
        for path in source.iterdir():
            if path.name != last:
                shutil.copy(path, target)
        half = (source / last).read_bytes()
        (target / last).write_bytes(half[: len(half) // 2])
        until(lambda: states(client).get("text@2") == "broken", "the first verdict", server=server)
        assert text_of(client)[0] == "text@1"
        (target / last).write_bytes(half)
        until(lambda: text_of(client)[0] == "text@2", "the whole bundle", server=server)


def test_a_bundle_that_is_growing_is_not_judged(shelf: Shelf, models: Path) -> None:
    """As long as its files change, it is loading."""
    source = shelf.path("text", "2")
    with ServerProcess(models, **POLL) as server, server.client() as client:
        target = models / "text" / "2"
        target.mkdir()
        shutil.copy(source / "manifest.json", target)
        seen = set()
        with (target / "model.onnx").open("wb") as file:
            for byte in range(30):
                file.write((source / "model.onnx").read_bytes()[byte : byte + 1])
                file.flush()
                until(lambda: "text@2" in states(client), "the sight of it", server=server)
                seen.add(states(client)["text@2"])
        assert seen == {"loading"}
        assert server.metric("rnnserve_model_events_total", event="failed") == 0


def test_other_content_under_the_same_version_takes_its_place(shelf: Shelf, models: Path) -> None:
    """It is another model by the same name: requests get it, and sessions of the old one are told."""
    with ServerProcess(models, **POLL) as server, server.client() as client:
        assert client.post("/sessions", json={"id": "old", "model": "text@1"}).status_code == 201
        before = text_of(client)
        other = shutil.copytree(shelf.path("text", "2"), models / "text" / ".other")
        manifest = json.loads((other / "manifest.json").read_text())
        (other / "manifest.json").write_text(json.dumps(manifest | {"version": "1"}))
        (models / "text" / "1").rename(models / "text" / ".gone")
        other.rename(models / "text" / "1")
        until(lambda: text_of(client)[1] != before[1], "the other content", server=server)
        assert text_of(client)[0] == "text@1"
        refused = client.post("/sessions/old/steps", json={"seq": 1, "inputs": "a"})
        assert refused.status_code == 412
        assert "another graph" in refused.json()["detail"]


def test_a_session_stays_with_its_version(shelf: Shelf, models: Path) -> None:
    """New sessions get the new version; the old one's go on as long as it lies there, then are told."""
    with ServerProcess(models, **POLL) as server, server.client() as client:
        step = {"inputs": "a"}
        assert client.post("/sessions", json={"id": "one", "task": "generate"}).json()["model"] == "text@1"
        first = client.post("/sessions/one/steps", json=step | {"seq": 1}).json()
        shelf.put(models, "text", "2")
        until(lambda: text_of(client)[0] == "text@2", "the switch", server=server)
        assert client.post("/sessions", json={"id": "two", "task": "generate"}).json()["model"] == "text@2"
        assert client.post("/sessions/one/steps", json=step | {"seq": 2}).status_code == 200
        assert client.get("/sessions/one").json()["model"] == "text@1"
        shelf.take(models, "text", "1")
        until(lambda: "text@1" not in states(client), "the end of text@1", server=server)
        refused = client.post("/sessions/one/steps", json=step | {"seq": 3})
        assert refused.status_code == 412
        assert "belongs to text@1, which is not served here" in refused.json()["detail"]
        assert client.post("/sessions/two/steps", json=step | {"seq": 1}).status_code == 200
        # It comes back, and nothing of the session was lost.
        shelf.put(models, "text", "1")
        until(lambda: states(client).get("text@1") == "ready", "the return", server=server)
        third = client.post("/sessions/one/steps", json=step | {"seq": 3}).json()
        assert third["step"] == first["step"] + 2


def test_only_so_many_versions_are_kept_and_labelled_ones_stay(shelf: Shelf, models: Path) -> None:
    """Older ones lie there unloaded; a label brings one back."""
    for version in ("2", "3"):
        shelf.put(models, "text", version)
    with ServerProcess(models, keep_versions=1, **POLL) as server, server.client() as client:
        assert states(client) == {
            "mood@1": "ready",
            "text@1": "unloaded",
            "text@2": "unloaded",
            "text@3": "ready",
        }
        assert entry(client, "text@1")["reason"] == "newer versions are served"
        (models / "text" / "labels.json").write_text('{"old": {"version": "1"}}')
        until(lambda: states(client)["text@1"] == "ready", "the labelled version", server=server)
        assert text_of(client, "text@old")[0] == "text@1"
        assert text_of(client)[0] == "text@3"


def test_folders_that_cannot_be_looked_at_change_nothing(shelf: Shelf, models: Path) -> None:
    """A folder that is away, or has come back empty, does not end the service."""
    with ServerProcess(models, **POLL) as server, server.client() as client:
        away = models.with_name("away")
        models.rename(away)
        server.wait_for_log("stay as they are")
        assert text_of(client)[0] == "text@1"
        models.mkdir()
        server.wait_for_log("the models folders are empty")
        assert text_of(client)[0] == "text@1"
        models.rmdir()
        away.rename(models)
        shelf.put(models, "text", "2")
        until(lambda: text_of(client)[0] == "text@2", "the return", server=server)
