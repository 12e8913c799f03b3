"""The catalogue shows the manifests' public part."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.bundles import tiny_classifier, tiny_forecaster, tiny_generator


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A real application over four tiny bundles."""
    folder = tmp_path_factory.mktemp("models")
    tiny_classifier(folder, name="mood")
    tiny_forecaster(folder, name="series")
    tiny_generator(folder, name="text")
    tiny_generator(folder, name="text", version="2")
    with TestClient(
        create_app(Settings(models=folder, default="generate=text@1", sessions="memory:"))
    ) as client:
        yield client


def test_every_version_is_listed_and_one_of_each_task_is_the_default(client: TestClient) -> None:
    """With what is needed to choose."""
    listed = client.get("/models").json()["models"]
    assert [(one["name"], one["version"], one["task"], one["cell"]) for one in listed] == [
        ("mood", "1", "sentiment", "gru"),
        ("series", "1", "forecast", "lstm"),
        ("text", "1", "generate", "lstm"),
        ("text", "2", "generate", "lstm"),
    ]
    assert [one["default"] for one in listed] == [True, True, True, False]


def test_a_name_alone_is_its_newest_version(client: TestClient) -> None:
    """For the catalogue as for requests."""
    assert client.get("/models/text").json()["version"] == "2"
    assert client.get("/models/text@1").json()["version"] == "1"
    assert client.get("/models/text").json()["versions"] == ["2", "1"]
    assert client.post("/generate", json={"max_tokens": 1}).json()["model"] == "text@1"
    assert client.post("/generate", json={"max_tokens": 1, "model": "text"}).json()["model"] == "text@2"


@pytest.mark.parametrize(
    ("name", "inputs", "limit"),
    [
        ("series", {"quantiles", "frequencies", "window"}, "max_horizon"),
        ("mood", {"labels", "vocabulary"}, "max_texts"),
        ("text", {"unit", "vocabulary", "ends_by_itself"}, "max_tokens"),
    ],
)
def test_a_model_tells_its_inputs_limits_and_state(
    client: TestClient, name: str, inputs: set[str], limit: str
) -> None:
    """In its task's own terms."""
    detail = client.get(f"/models/{name}").json()
    assert set(detail["inputs"]) == inputs
    assert detail["limits"][limit] > 0
    assert detail["state"]["size"] == sum(_elements(field["shape"]) for field in detail["state"]["fields"])
    assert detail["network"]["parameters"] > 0
    assert detail["provenance"]["command"] == "tests"


def _elements(shape: list[int]) -> int:
    count = 1
    for axis in shape:
        count *= axis
    return count
