"""What an administrator tells a running server, by a call or by SIGHUP."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

from tests.e2e.server import ServerProcess
from tests.models_lifecycle.shelf import ASK, Shelf, Traffic, engine_threads, entry, states, text_of, until

QUIET = {"models_poll_s": 0}
"""Nothing is looked at unless somebody says so."""


def test_sighup_looks_for_models(shelf: Shelf, models: Path) -> None:
    """And ends nothing."""
    with ServerProcess(models, **QUIET) as server, server.client() as client:
        shelf.put(models, "text", "2")
        assert text_of(client)[0] == "text@1"
        server.signal(signal.SIGHUP)
        until(lambda: text_of(client)[0] == "text@2", "the new version", server=server)


def test_the_admin_call_answers_when_what_is_new_is_served(shelf: Shelf, models: Path) -> None:
    """And shows at once what is broken."""
    with ServerProcess(models, **QUIET) as server, server.client() as client:
        shelf.put(models, "text", "2")
        shelf.put(models, "text", "3")
        (models / "text" / "3" / "vectors.npz").unlink()
        answer = client.post("/admin/models/reload")
        assert answer.status_code == 200
        listed = {f"{one['name']}@{one['version']}": one["status"] for one in answer.json()["models"]}
        assert listed == {"mood@1": "ready", "text@1": "ready", "text@2": "ready", "text@3": "broken"}
        assert text_of(client)[0] == "text@2"
        shelf.take(models, "text", "2")
        client.post("/admin/models/reload")
        assert text_of(client)[0] == "text@1"


def test_a_model_is_unloaded_and_loaded_under_load(shelf: Shelf, models: Path) -> None:
    """What runs ends well, what comes gets 404, and a session goes on after it is loaded again."""
    with ServerProcess(models, **QUIET) as server, server.client() as client:
        client.post("/sessions", json={"id": "one", "model": "text@1"})
        before = client.post("/sessions/one/steps", json={"seq": 1, "inputs": "ab"}).json()
        traffic = Traffic(server)
        with traffic.running():
            until(lambda: len(traffic.answers) > 20, "traffic")
            answer = client.post("/admin/models/text/unload")
            assert answer.status_code == 200
            assert client.post("/generate", json=ASK).status_code == 404
            assert client.post("/generate", json=ASK | {"model": "text@1"}).status_code == 404
            refused = client.post("/sessions/one/steps", json={"seq": 3, "inputs": "c"})
            assert refused.status_code == 412
            assert client.get("/sessions/one").json()["step"] == before["step"]
            assert entry(client, "text@1")["status"] in ("draining", "unloaded")
            until(lambda: entry(client, "text@1")["status"] == "unloaded", "its end")
            # Looking again does not bring it back; only loading does.
            client.post("/admin/models/reload")
            assert entry(client, "text@1")["reason"] == "it was unloaded by an administrator"
            assert client.post("/sentiment", json={"text": "good"}).status_code == 200
            assert client.post("/admin/models/text/load").status_code == 200
            assert text_of(client)[0] == "text@1"
        assert {text for _, text in traffic.answers} == {text_of(client)[1]}
        assert all("unknown-model" in failure for failure in traffic.failures), traffic.failures[:3]
        step = client.post("/sessions/one/steps", json={"seq": before["step"] + 1, "inputs": "c"})
        assert step.status_code == 200


def test_a_default_that_is_away_is_missed_and_not_replaced(shelf: Shelf, models: Path) -> None:
    """Requests that name no model never get one that they were not meant for."""
    other = models / "another" / "1"
    shutil.copytree(shelf.path("text", "2"), other)
    manifest = json.loads((other / "manifest.json").read_text()) | {"name": "another", "version": "1"}
    (other / "manifest.json").write_text(json.dumps(manifest))
    with ServerProcess(models, default="generate=text", **QUIET) as server, server.client() as client:
        assert text_of(client)[0] == "text@1"
        client.post("/admin/models/text/unload")
        assert client.post("/generate", json=ASK).status_code == 404
        assert text_of(client, "another")[0] == "another@1"
        client.post("/admin/models/text/load")
        assert text_of(client)[0] == "text@1"
        # Gone from the disk is gone for good, and the rule of the start holds again.
        shutil.rmtree(models / "text")
        client.post("/admin/models/reload")
        assert text_of(client)[0] == "another@1"


def test_loading_what_cannot_be_served_says_why(shelf: Shelf, models: Path) -> None:
    """Nothing of that name is a 404, nothing good a 409; once it is mended, loading tries it again."""
    shelf.put(models, "series", "1")
    vectors = models / "series" / "1" / "vectors.npz"
    kept = vectors.read_bytes()
    vectors.write_bytes(b"")
    with ServerProcess(models, skip_bad_models=True, **QUIET) as server, server.client() as client:
        assert states(client)["series@1"] == "broken"
        for call in ("load", "unload"):
            missing = client.post(f"/admin/models/nobody/{call}")
            assert (missing.status_code, missing.json()["type"]) == (
                404,
                "urn:rnnserve:problem:unknown-model",
            )
        refused = client.post("/admin/models/series/load")
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:rnnserve:problem:load-failed")
        assert "series@1: a file is not the one that its manifest records" in refused.json()["detail"]
        vectors.write_bytes(kept)
        assert client.post("/admin/models/series/load").status_code == 200
        assert client.post("/forecast", json={"values": [1, 2, 3], "horizon": 2}).status_code == 200


def test_every_worker_follows_a_signal_and_an_admin_call(shelf: Shelf, models: Path, tmp_path: Path) -> None:
    """SIGHUP to the supervisor reaches all; what one worker is told, the others do soon after."""
    with ServerProcess(models, workers=3, sessions="lmdb", state_dir=tmp_path / "state", **QUIET) as server:

        def seen() -> set[str]:
            """What many connections, and so every worker, answer for an unpinned request."""
            found = set()
            for _ in range(15):
                with server.client() as client:
                    answer = client.post("/generate", json=ASK | {"max_tokens": 1})
                    found.add(
                        answer.json()["model"] if answer.status_code == 200 else str(answer.status_code)
                    )
            return found

        assert seen() == {"text@1"}
        shelf.put(models, "text", "2")
        server.signal(signal.SIGHUP)
        until(lambda: seen() == {"text@2"}, "the signal in all workers", server=server)
        with server.client() as client:
            assert client.post("/admin/models/text/unload").status_code == 200
        until(lambda: seen() == {"404"}, "the unloading in all workers", server=server)
        with server.client() as client:
            assert client.post("/admin/models/text/load").status_code == 200
        until(lambda: seen() == {"text@2"}, "the loading in all workers", server=server)


def test_engines_of_removed_versions_are_closed_and_their_memory_comes_back(
    shelf: Shelf, models: Path
) -> None:
    """Thread by thread; a server that is given new versions for years does not grow."""
    source = Path(__file__).parents[2] / "models" / "sentiment" / "1"
    target = models / "sentiment" / "1"

    def add_and_remove() -> None:
        staging = models / "sentiment" / ".staging"
        shutil.copytree(source, staging)
        staging.rename(target)
        client.post("/admin/models/reload")
        assert client.post("/sentiment", json={"text": "good", "model": "sentiment"}).status_code == 200
        shutil.rmtree(target)
        client.post("/admin/models/reload")
        until(lambda: "sentiment@1" not in states(client), "its end", server=server)

    def resident() -> float:
        return server.metric("process_resident_memory_bytes") / 2**20

    with ServerProcess(models, **QUIET) as server, server.client() as client:
        add_and_remove()
        threads, memory = engine_threads(server.pid), resident()
        weights = sum(path.stat().st_size for path in source.iterdir()) / 2**20
        assert weights > 5, "too small to be seen"
        for _ in range(6):
            add_and_remove()
        assert engine_threads(server.pid).count("engine-sentimen") == 0
        assert len(engine_threads(server.pid)) <= len(threads) + 2, (threads, engine_threads(server.pid))
        assert resident() < memory + 3 * weights, (memory, resident(), weights)
        assert server.metric("rnnserve_model_events_total", event="retired") == 7
        assert 'model="sentiment@1"' not in "\n".join(
            line for line in client.get("/metrics").text.splitlines() if line.startswith("rnnserve_engine_up")
        )
