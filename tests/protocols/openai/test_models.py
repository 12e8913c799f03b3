"""``/v1/models`` as the ``openai`` package reads it."""

from __future__ import annotations

import openai
import pytest

from tests.e2e.server import ServerProcess


def test_models_are_listed_under_every_id_that_completions_take(client: openai.OpenAI) -> None:
    """By name and by name@version, each with when it was made."""
    models = list(client.models.list())
    assert [one.id for one in models] == [
        "names",
        "names@1",
        "shakespeare",
        "shakespeare@2",
        "tiny-bpe",
        "tiny-bpe@1",
    ]
    assert all(one.object == "model" and one.owned_by == "rnnserve" for one in models)
    assert all(1_700_000_000 < one.created < 4_000_000_000 for one in models)


def test_models_of_other_tasks_are_not_listed(server: ServerProcess, client: openai.OpenAI) -> None:
    """A client takes every listed model for one that completes text."""
    with server.client() as http:
        served = {one["name"] for one in http.get("/models").json()["models"] if one["task"] == "generate"}
    assert {one.id.partition("@")[0] for one in client.models.list()} == served


@pytest.mark.parametrize("id", ["shakespeare", "shakespeare@2"])
def test_one_model_is_found_by_its_id(client: openai.OpenAI, id: str) -> None:
    """The same entry as in the list."""
    assert client.models.retrieve(id) == next(one for one in client.models.list() if one.id == id)


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    """With the code that clients look for."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-3.5-turbo-instruct")
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


def test_predictions_of_kserve_are_told_apart(server: ServerProcess) -> None:
    """Its first protocol shares the prefix; whoever speaks it is told so."""
    with server.client() as http:
        answer = http.post("/v1/models/names:predict", json={"instances": [1]})
    assert answer.status_code == 404
    assert "KServe's V1 protocol is not served here" in answer.json()["error"]["message"]
