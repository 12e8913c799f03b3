"""``/sentiment`` as Hugging Face's client asks it, and what a body with ``inputs`` means."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.conftest import SHIPPED
from tests.e2e.server import ServerProcess

TEXTS = ["A warm, funny and utterly charming film.", "Two hours of my life that I want back.", "not good"]


@pytest.fixture(scope="module")
def shipped() -> Iterator[ServerProcess]:
    """A server with the shipped bundles."""
    with ServerProcess(SHIPPED, load="on-demand") as process:
        yield process


@pytest.fixture
def hugging(shipped: ServerProcess) -> InferenceClient:
    """The unmodified client, pointed at the route; with a token it looks for none on this machine."""
    return InferenceClient(model=f"{shipped.url}/sentiment", token="none")


def native(server: ServerProcess, text: str | list[str]) -> list[dict[str, Any]]:
    """The results of the native request."""
    with server.client() as http:
        found: list[dict[str, Any]] = http.post("/sentiment", json={"text": text}).json()["results"]
    return found


def scores_of(server: ServerProcess, text: str, function: str) -> dict[str, float]:
    """By label, under one function."""
    body = {"inputs": text, "parameters": {"function_to_apply": function}}
    with server.client() as http:
        (labels,) = http.post("/sentiment", json=body).json()
    return {one["label"]: one["score"] for one in labels}


@pytest.mark.parametrize("text", TEXTS)
def test_the_client_gets_every_label_the_likeliest_first(
    shipped: ServerProcess, hugging: InferenceClient, text: str
) -> None:
    """With the scores of the native answer."""
    labels = hugging.text_classification(text)
    (expected,) = native(shipped, text)
    assert {one.label: one.score for one in labels} == expected["scores"]
    assert labels[0].label == expected["label"]
    assert [one.score for one in labels] == sorted((one.score for one in labels), reverse=True)


def test_top_k_cuts_the_list(hugging: InferenceClient) -> None:
    """To the most likely label."""
    (only,) = hugging.text_classification(TEXTS[0], top_k=1)
    assert only.label == "positive"


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ({"return_all_scores": True}, 3),
        ({"return_all_scores": False}, 1),
        ({"return_all_scores": False, "top_k": 2}, 2),
        ({"return_all_scores": None}, 3),
    ],
    ids=str,
)
def test_return_all_scores_is_the_old_word_for_top_k(
    shipped: ServerProcess, parameters: dict[str, Any], count: int
) -> None:
    """Which wins where both are given."""
    with shipped.client() as http:
        (labels,) = http.post("/sentiment", json={"inputs": TEXTS[0], "parameters": parameters}).json()
    assert len(labels) == count
    assert labels[0]["label"] == "positive"


def test_a_text_may_be_an_object_with_a_text(shipped: ServerProcess) -> None:
    """As pipelines take it, alone and in a list; a second text is refused, since nothing would read it."""
    with shipped.client() as http:
        plain = http.post("/sentiment", json={"inputs": TEXTS}).json()
        assert http.post("/sentiment", json={"inputs": {"text": TEXTS[0]}}).json() == plain[:1]
        objects = [{"text": TEXTS[0]}, TEXTS[1], {"text": TEXTS[2]}]
        assert http.post("/sentiment", json={"inputs": objects}).json() == plain
        pair = http.post("/sentiment", json={"inputs": {"text": "a", "text_pair": "b"}})
    assert (pair.status_code, pair.json()["errors"][0]["field"]) == (422, "inputs")
    assert '{"text": ...}' in pair.json()["detail"]


@pytest.mark.parametrize("truncation", [True, "longest_first", "only_first"])
def test_truncation_cuts_what_is_too_long(shipped: ServerProcess, truncation: bool | str) -> None:
    """To the server's limit, or to fewer tokens; without it the text is refused."""
    words = "good " * 30_000
    with shipped.client() as http:

        def ask(text: str, **parameters: Any) -> httpx2.Response:
            return http.post("/sentiment", json={"inputs": text, "parameters": parameters})

        assert ask(words).status_code == ask(words, truncation=False).status_code == 422
        assert ask(words, truncation="do_not_truncate").status_code == 422
        assert ask(words, truncation=truncation).json() == ask(words[:100_000]).json()
        cut = ask("good bad dull", truncation=truncation, max_length=1)
        assert cut.json() == ask("good").json()
        assert ask("good", truncation=truncation).json() == ask("good").json()


def test_the_functions_agree_on_the_logits(shipped: ServerProcess) -> None:
    """Softmax and the logistic function of what ``none`` gives."""
    logits = scores_of(shipped, TEXTS[1], "none")
    total = sum(math.exp(one) for one in logits.values())
    softmax = {label: math.exp(one) / total for label, one in logits.items()}
    sigmoid = {label: 1 / (1 + math.exp(-one)) for label, one in logits.items()}
    assert scores_of(shipped, TEXTS[1], "softmax") == pytest.approx(softmax, abs=2e-6)
    assert scores_of(shipped, TEXTS[1], "sigmoid") == pytest.approx(sigmoid, abs=2e-6)
    assert min(logits.values()) < 0 < max(logits.values())


def test_several_texts_have_a_list_each(shipped: ServerProcess) -> None:
    """One text alone has a list around its own as well, which the client takes off."""
    with shipped.client() as http:
        many = http.post("/sentiment", json={"inputs": TEXTS})
        one = http.post("/sentiment", json={"inputs": TEXTS[0], "options": {"wait_for_model": True}})
    assert [labels[0]["label"] for labels in many.json()] == [one["label"] for one in native(shipped, TEXTS)]
    assert one.json() == many.json()[:1]
    assert set(one.json()[0][0]) == {"label", "score"}
    assert "queue;dur=" in many.headers["server-timing"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"inputs": ""}, "inputs.0"),
        ({"inputs": ["good", "  "]}, "inputs.1"),
        ({"inputs": 5}, "inputs"),
        ({"inputs": "a", "text": "b"}, "text"),
        ({"inputs": "a", "trace": True}, "trace"),
        ({"inputs": "a", "parameters": {"top_k": 0}}, "parameters.top_k"),
        ({"inputs": "a", "parameters": {"function_to_apply": "relu"}}, "parameters.function_to_apply"),
        ({"inputs": "a", "model": "forecaster"}, "model"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named_as_it_was_sent(
    shipped: ServerProcess, body: dict[str, Any], field: str
) -> None:
    """In a problem, as on every native route."""
    with shipped.client() as http:
        answer = http.post("/sentiment", json=body)
    assert answer.status_code in (404, 422)
    assert answer.json()["errors"][0]["field"] == field


def test_the_client_raises_what_the_server_says(hugging: InferenceClient) -> None:
    """With the status."""
    with pytest.raises(HfHubHTTPError) as caught:
        hugging.text_classification("")
    assert caught.value.response is not None
    assert caught.value.response.status_code == 422


@pytest.mark.parametrize("text", ['he said "inputs" twice', "inputs", '{"inputs": 1}'])
def test_the_word_in_a_text_changes_nothing(shipped: ServerProcess, text: str) -> None:
    """Only the field of the body does."""
    with shipped.client() as http:
        answer: httpx2.Response = http.post("/sentiment", json={"text": text})
    assert "results" in answer.json()
