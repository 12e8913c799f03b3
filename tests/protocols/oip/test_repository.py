"""The repository, statistics and key extensions of ``/v2`` on real servers."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx2
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.http import InferenceServerClient as Client
from tritonclient.utils import InferenceServerException

from app.access.api_key import new_key, shown_digest
from app.protocols.oip.schema import IndexEntry, Statistics
from tests.e2e.server import ServerProcess
from tests.protocols.oip.inputs import numbers, texts


def test_the_index_lists_every_version(client: Client) -> None:
    """With its state, as the models folder has them."""
    found = [IndexEntry.model_validate(one) for one in client.get_model_repository_index()]
    assert [(one.name, one.version, one.state) for one in found] == [
        (name, version, "READY")
        for name, version in (("mood", "1"), ("series", "1"), ("series", "2"), ("single", "1"), ("text", "1"))
    ]


def test_models_are_loaded_and_unloaded(oip_models: Path, tmp_path: Path) -> None:
    """An unloaded model is not found, and never a server error; loading brings it and new versions back."""
    models = tmp_path / "models"
    shutil.copytree(oip_models, models, ignore=shutil.ignore_patterns("series"))
    given = [numbers([[1.0, 2.0, 3.0]])]
    with ServerProcess(models) as process, Client(f"127.0.0.1:{process.port}") as client:
        before = client.infer("single", given).as_numpy("mean")
        client.infer("single", given, sequence_id=1, sequence_start=True)
        client.unload_model("single")
        assert not client.is_model_ready("single")
        for more in ({}, {"sequence_id": 1}):
            with pytest.raises(InferenceServerException, match="no model 'single' is served") as raised:
                client.infer("single", given, **more)
            assert raised.value.status() == "404"
        states = {one["name"]: one["state"] for one in client.get_model_repository_index()}
        assert states["single"] in ("UNLOADING", "UNAVAILABLE")
        with process.client() as native:
            ready = native.post("/v2/repository/index", json={"ready": True}).json()
        assert {one["name"] for one in ready} == {"mood", "text"}
        client.load_model("single")
        assert np.array_equal(client.infer("single", given).as_numpy("mean"), before)
        client.infer("single", given, sequence_id=1, sequence_end=True)

        with pytest.raises(InferenceServerException) as raised:
            client.load_model("series")
        assert raised.value.status() == "404"
        shutil.copytree(oip_models / "series", models / "series")
        client.load_model("series")
        assert client.get_model_metadata("series")["versions"] == ["1", "2"]
        with pytest.raises(InferenceServerException, match="from its bundle alone") as raised:
            client.load_model("series", config='{"platform": "x"}')
        assert raised.value.status() == "400"


def test_statistics_count_requests_and_rows(oip_models: Path) -> None:
    """By model version; what fails counts as a failure."""
    with ServerProcess(oip_models) as process, Client(f"127.0.0.1:{process.port}") as client:
        empty = client.get_inference_statistics("single")["model_stats"]
        assert [(one["last_inference"], one["inference_count"]) for one in empty] == [(0, 0)]
        client.infer("single", [numbers([[1, 2], [3, 4], [5, 6]])])
        client.infer("single", [numbers([[1, 2]])], sequence_id=1, sequence_start=True)
        with pytest.raises(InferenceServerException):
            client.infer("single", [texts("x", name="values")])
        Statistics.model_validate(client.get_inference_statistics())
        (stats,) = client.get_inference_statistics("single", "1")["model_stats"]
        assert (stats["inference_count"], stats["execution_count"]) == (4, 2)
        counts = {name: one["count"] for name, one in stats["inference_stats"].items() if one["count"]}
        assert counts == {"success": 2, "fail": 1, "queue": 1, "compute_infer": 1}
        assert all(stats["inference_stats"][name]["ns"] > 0 for name in ("success", "fail", "compute_infer"))
        assert stats["last_inference"] > 1.7e12
        assert [one["version"] for one in client.get_inference_statistics("series")["model_stats"]] == [
            "1",
            "2",
        ]
        assert len(client.get_inference_statistics()["model_stats"]) == 5


def test_sequences_belong_to_the_key_that_made_them(oip_models: Path, tmp_path: Path) -> None:
    """The same id under two keys is two sequences; without a key there is nothing but health."""
    path, keys = tmp_path / "keys.toml", {name: new_key() for name in ("alice", "bob", "root")}
    path.write_text(
        "\n".join(f'[keys.{name}]\nhash = "{shown_digest(key)}"' for name, key in keys.items())
        + '\nrole = "admin"\n'
    )
    with (
        ServerProcess(oip_models, keys=path) as process,
        Client(f"127.0.0.1:{process.port}") as client,
    ):
        headers = {name: {"Authorization": f"Bearer {key}"} for name, key in keys.items()}
        assert client.is_server_live()
        assert client.is_server_ready()
        with pytest.raises(InferenceServerException, match="API key") as raised:
            client.get_model_metadata("single")
        assert raised.value.status() == "401"

        def feed(name: str, value: float, *, start: bool = False) -> triton.InferResult:
            given = [numbers([[value]])]
            return client.infer(
                "single", given, sequence_id=42, sequence_start=start, headers=dict(headers[name])
            )

        feed("alice", 5, start=True)
        with pytest.raises(InferenceServerException, match="START flag"):
            feed("bob", 7)
        feed("bob", 70, start=True)
        whole = client.infer("single", [numbers([[5, 7]])], headers=dict(headers["alice"]))
        assert np.array_equal(feed("alice", 7).as_numpy("mean"), whole.as_numpy("mean"))
        with pytest.raises(InferenceServerException) as raised:
            client.unload_model("text", headers=dict(headers["alice"]))
        assert raised.value.status() == "403"
        client.unload_model("text", headers=dict(headers["root"]))
        assert not client.is_model_ready("text", headers=dict(headers["root"]))


def test_the_openapi_document_has_the_protocol(native: httpx2.Client) -> None:
    """Every address, and the error in the protocol's shape."""
    document = native.get("/openapi.json").json()
    paths = {path for path in document["paths"] if path.startswith("/v2")}
    assert {
        "/v2",
        "/v2/health/live",
        "/v2/models/{model}",
        "/v2/models/{model}/infer",
        "/v2/models/{model}/versions/{version}/infer",
        "/v2/models/stats",
        "/v2/repository/index",
        "/v2/repository/models/{model}/load",
    } <= paths
    infer = document["paths"]["/v2/models/{model}/infer"]["post"]
    assert infer["responses"]["default"]["content"]["application/json"]["schema"]["$ref"].endswith(
        "/OipError"
    )
    assert set(infer["requestBody"]["content"]) == {"application/json", "application/octet-stream"}
    assert set(infer["responses"]["200"]["content"]) == {"application/json", "application/octet-stream"}
