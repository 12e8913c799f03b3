"""Bundles from places on the network, over real sockets: a web server, an S3 server, a Hub's routes."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import FetchFailed
from app.remote.mirror import Mirror
from tests.buckets import bucket_server
from tests.e2e.server import ServerProcess
from tests.models_lifecycle.shelf import Shelf, entry, states, text_of, until
from tests.models_lifecycle.test_cli_models import rnnserve
from tests.models_lifecycle.web import Web, serving

pytest.importorskip("s3fs", reason="the [remote] extra is not installed")

LIMITS = (2**30, 30.0)


@pytest.fixture
def web(shelf: Shelf, tmp_path: Path) -> Iterator[Web]:
    """A web server whose ``/tree`` has ``text@1`` and ``mood@1``."""
    folder = tmp_path / "web"
    shelf.put(folder / "tree", "text", "1")
    shelf.put(folder / "tree", "mood", "1")
    with serving(folder) as web:
        yield web


def flags(tmp_path: Path, **more: Any) -> dict[str, Any]:
    """Of a server that looks often."""
    return {"models_poll_s": 0.2, "models_refresh_s": 0.3, "models_cache": tmp_path / "cache"} | more


def held(mirror: Mirror) -> list[str]:
    """Bundles in a mirror, and whatever else is in it."""
    return sorted(str(path.relative_to(mirror.folder)) for path in mirror.folder.glob("*/*"))


def test_a_server_follows_a_web_server(shelf: Shelf, web: Web, tmp_path: Path) -> None:
    """New versions, labels, broken ones, and removed ones, beside those of a folder."""
    tree = web.folder / "tree"
    local = tmp_path / "local"
    shelf.put(local, "series", "1")
    with ServerProcess(f"{local},{web.url}/tree", **flags(tmp_path)) as server, server.client() as client:
        assert set(states(client).values()) == {"ready"}
        assert set(states(client)) == {"series@1", "text@1", "mood@1"}
        shelf.put(tree, "text", "2")
        until(lambda: text_of(client)[0] == "text@2", "the new version", server=server)
        (tree / "text" / "labels.json").write_text('{"stable": {"version": "1"}}')
        until(lambda: text_of(client)[0] == "text@1", "the label", server=server)
        bad = shelf.put(tree, "text", "3")
        graph = (bad / "model.onnx").read_bytes()
        (bad / "model.onnx").write_bytes(graph[:-1])
        until(lambda: states(client).get("text@3") == "broken", "the refusal", server=server)
        assert entry(client, "text@3")["reason"] == "a file is not the one that its manifest records"
        until(lambda: server.metric("rnnserve_models_bad") == 1, "the count of bad ones")
        server.wait_for_log("text/3: model.onnx does not have the sha256")
        assert web.url not in client.get("/models").text
        (bad / "model.onnx").write_bytes(graph)
        assert client.post("/admin/models/reload").status_code == 200
        assert states(client)["text@3"] == "ready"
        shutil.rmtree(bad)
        until(lambda: "text@3" not in states(client), "the removal", server=server)


def test_what_was_copied_is_served_when_the_place_is_away(web: Web, tmp_path: Path) -> None:
    """At a start and while serving; a start with neither says so and ends."""
    more = flags(tmp_path)
    place = f"{web.url}/tree"
    with ServerProcess(place, **more) as server, server.client() as client:
        expected = text_of(client)
        web.broken = 10**9
        server.wait_for_log("what was copied before is served")
        assert text_of(client) == expected
    with ServerProcess(place, **more) as server, server.client() as client:
        assert text_of(client) == expected
        web.broken = 0
    web.broken = 10**9
    server = ServerProcess(place, **flags(tmp_path, models_cache=tmp_path / "empty"))
    assert server.wait(60) == 2
    server.wait_for_log(f"{place}/manifest.json")
    server.kill()


@pytest.mark.parametrize("away", ["busy", "unreachable"])
def test_a_place_that_fails_takes_nothing_away(web: Web, tmp_path: Path, away: str) -> None:
    """Only a clear "not found" means that something has gone; neither versions nor labels are lost."""
    labels = web.folder / "tree" / "text" / "labels.json"
    labels.write_text('{"stable": {"version": "1"}}')
    mirror = Mirror(f"{web.url}/tree", tmp_path / "cache", 2**30, 4)
    mirror.refresh()
    kept = held(mirror)
    assert kept == ["mood/1", "text/1", "text/labels.json"]
    # The list is given, and then nothing more.
    web.fails_on = "/tree/text/" if away == "busy" else "/tree"
    web.hangs_up = away == "unreachable"
    with pytest.raises(FetchFailed):
        mirror.refresh()
    assert held(mirror) == kept
    web.fails_on = None
    labels.unlink()
    mirror.refresh()
    assert held(mirror) == ["mood/1", "text/1"]


def test_breaks_are_mended_and_each_file_is_asked_for_once(web: Web, tmp_path: Path) -> None:
    """An answer that breaks off is read on from where it broke; a busy server is asked again."""
    path = "/tree/text/1/model.onnx"
    web.cut[path] = 2
    web.broken = 2
    mirror = Mirror(f"{web.url}/tree", tmp_path / "cache", *LIMITS)
    mirror.refresh()
    assert mirror.failed == {}
    assert held(mirror) == ["mood/1", "text/1"]
    assert web.asked[path] == 3
    assert web.asked["/tree/mood/1/model.onnx"] == 1
    web.asked.clear()
    mirror.refresh()
    assert [one for one in web.asked if one.endswith((".onnx", ".npz"))] == []


def test_a_place_without_listings_has_an_index(web: Web, tmp_path: Path) -> None:
    """Of names and versions, and nothing in it leads elsewhere."""
    web.listing = False
    listed = ["text/1", "../../evil/1", "/etc/1", "text/../..", "text", "mood/1/x", ".hidden/1"]
    (web.folder / "tree" / "index.json").write_text(json.dumps({"bundles": listed}))
    mirror = Mirror(f"{web.url}/tree", tmp_path / "cache", *LIMITS)
    mirror.refresh()
    assert held(mirror) == ["text/1"]
    assert not [path for path in web.asked if "evil" in path or "etc" in path]
    (web.folder / "tree" / "index.json").write_text('{"bundles": 1}')
    with pytest.raises(FetchFailed, match=r"index\.json is not"):
        mirror.refresh()
    assert held(mirror) == ["text/1"]


def test_one_bundle_may_be_a_place_by_itself(web: Web, tmp_path: Path) -> None:
    """Its manifest says which it is."""
    mirror = Mirror(f"{web.url}/tree/text/1/", tmp_path / "cache", *LIMITS)
    mirror.refresh()
    assert held(mirror) == ["text/1"]


def test_a_copy_that_is_too_large_or_misplaced_is_refused_alone(
    shelf: Shelf, web: Web, tmp_path: Path
) -> None:
    """The others come, and nothing of it is left or seen half way."""
    shutil.copytree(shelf.path("text", "2"), web.folder / "tree" / "text" / "7")
    shelf.put(web.folder / "tree", "series", "1")
    size = sum(path.stat().st_size for path in shelf.path("text", "1").iterdir())
    smaller = max(
        sum(path.stat().st_size for path in shelf.path(name, "1").iterdir()) for name in ("mood", "text")
    )
    large = sum(path.stat().st_size for path in shelf.path("series", "1").iterdir())
    assert size <= smaller < large
    mirror = Mirror(f"{web.url}/tree", tmp_path / "cache", smaller, 30)
    mirror.refresh()
    assert {key: str(error) for key, error in mirror.failed.items()} == {
        "series@1": f"the bundle is larger than {smaller} bytes",
        "text@7": "its manifest says text@2, which is not where it lies",
    }
    assert held(mirror) == ["mood/1", "text/1"]
    # A failed copy is not tried again at each look, but when somebody asks.
    web.asked.clear()
    mirror.refresh()
    assert web.asked["/tree/series/1/model.onnx"] == 0
    mirror.refresh(at_once=True)
    assert web.asked["/tree/series/1/model.onnx"] + web.asked["/tree/series/1/vectors.npz"] > 0


def test_an_empty_place_takes_nothing_away(web: Web, tmp_path: Path) -> None:
    """It is more likely a mistake than a wish."""
    mirror = Mirror(f"{web.url}/tree", tmp_path / "cache", *LIMITS)
    mirror.refresh()
    shutil.rmtree(web.folder / "tree")
    (web.folder / "tree").mkdir()
    with pytest.raises(FetchFailed, match="holds no bundle"):
        mirror.refresh()
    assert held(mirror) == ["mood/1", "text/1"]


def test_mirrors_of_one_place_copy_each_file_once(web: Web, tmp_path: Path) -> None:
    """Workers start together: one copies, the others wait and find it done."""
    mirrors = [Mirror(f"{web.url}/tree", tmp_path / "cache", *LIMITS) for _ in range(4)]
    threads = [threading.Thread(target=one.refresh) for one in mirrors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert web.asked["/tree/text/1/model.onnx"] == 1
    assert all(held(one) == ["mood/1", "text/1"] for one in mirrors)


def test_a_refresh_ends_when_it_is_stopped(web: Web, tmp_path: Path) -> None:
    """So that a server that shuts down does not wait for a place that does not answer."""
    web.broken = 10**9
    mirror = Mirror(f"{web.url}/tree", tmp_path / "cache", 2**30, 3600)
    mirror.stop()
    with pytest.raises(FetchFailed, match="given up"):
        mirror.refresh()


def test_the_commands_read_places(shelf: Shelf, web: Web, tmp_path: Path) -> None:
    """``add`` takes a bundle or an archive by its address; ``pull`` fills the cache."""
    models = tmp_path / "models"
    shutil.make_archive(str(web.folder / "packed"), "zip", shelf.path("text", "2"))
    for source in (f"{web.url}/tree/text/1", f"{web.url}/packed.zip"):
        status, said = rnnserve("add", source, "--models", models)
        assert status == 0, said
    assert sorted(path.name for path in (models / "text").iterdir()) == ["1", "2"]
    status, said = rnnserve("add", f"{web.url}/nothing", "--models", models)
    assert (status, "there is no" in said) == (2, True)
    status, said = rnnserve("pull", "--models", models, "--models", f"{web.url}/tree", "--cache", tmp_path)
    assert status == 0, said
    assert [line.split()[0] for line in said.splitlines()] == ["mood@1", "text@1"]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an S3 server with the bucket ``models``."""
    with bucket_server(tmp_path, monkeypatch, "models") as client:
        yield client


def upload(client: Any, bundle: Path, prefix: str) -> None:
    """Put a bundle into the bucket; the manifest last, so that nobody finds half a bundle."""
    for path in sorted(bundle.iterdir(), key=lambda path: path.name == "manifest.json"):
        client.upload_file(str(path), "models", f"{prefix}/{path.name}")


def test_a_server_follows_a_bucket(shelf: Shelf, bucket: Any, tmp_path: Path) -> None:
    """New versions and removed ones, below a prefix."""
    upload(bucket, shelf.path("text", "1"), "team/text/1")
    bucket.put_object(Bucket="models", Key="other/text/9/manifest.json", Body=b"{}")
    with ServerProcess("s3://models/team", **flags(tmp_path)) as server, server.client() as client:
        assert states(client) == {"text@1": "ready"}
        upload(bucket, shelf.path("text", "2"), "team/text/2")
        until(lambda: text_of(client)[0] == "text@2", "the new version", server=server)
        for path in shelf.path("text", "2").iterdir():
            bucket.delete_object(Bucket="models", Key=f"team/text/2/{path.name}")
        until(lambda: text_of(client)[0] == "text@1", "the way back", server=server)
    server = ServerProcess("s3://nobodys/team", **flags(tmp_path, models_cache=tmp_path / "empty"))
    assert server.wait(60) == 2
    server.wait_for_log("s3://nobodys/team")
    server.kill()


def test_a_hub_repository_is_a_place(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read by the Hub's own library, from a server with the routes that it uses."""
    repository = tmp_path / "hub" / "owner" / "repository"
    shelf.put(repository, "text", "1")
    with serving(tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        place = "hf://owner/repository"
        with ServerProcess(place, **flags(tmp_path)) as server, server.client() as client:
            assert states(client) == {"text@1": "ready"}
            shelf.put(repository, "text", "2")
            until(lambda: text_of(client)[0] == "text@2", "the new version", server=server)
        assert any("/resolve/" in path for path in hub.asked)
