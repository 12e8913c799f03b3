"""Clients of others, as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from libretranslatepy import LibreTranslateAPI
from tritonclient import http as triton

from tests.e2e.server import ServerProcess
from tests.tasks.translate.conftest import Ask

TEXT = "A man rides a bicycle."


@pytest.fixture
def expected(ask: Ask) -> str:
    """The server's own answer."""
    found: str = ask(text=TEXT, source="en", target="de")["translations"][0]["text"]
    return found


def test_hugging_face_s_client_translates(translator: ServerProcess, expected: str) -> None:
    """With languages and without."""
    client = InferenceClient(model=f"{translator.url}/translate", token="none")
    assert client.translation(TEXT, src_lang="en", tgt_lang="de").translation_text == expected
    assert client.translation(TEXT).translation_text == expected


def test_libretranslate_s_client_translates_and_asks_for_languages(
    translator: ServerProcess, expected: str
) -> None:
    """It sends forms."""
    client = LibreTranslateAPI(f"{translator.url}/libretranslate")
    assert client.translate(TEXT, "en", "de") == expected
    assert client.translate(TEXT, "auto", "de") == expected
    found = client.detect("Ein Hund läuft über die Wiese.")
    assert found[0]["language"] == "de"
    assert [(item["code"], item["targets"]) for item in client.languages()] == [
        ("de", ["en"]),
        ("en", ["de"]),
    ]


def test_libretranslate_s_json_has_alternatives_and_what_was_detected(translator: ServerProcess) -> None:
    """As its own server answers it."""
    body = {"q": [TEXT, ""], "source": "auto", "target": "de", "alternatives": 2}
    with translator.client() as client:
        answer = client.post("/libretranslate/translate", json=body).json()
        assert client.post("/libretranslate/translate", json={**body, "q": []}).json()["translatedText"] == []
    assert [len(others) for others in answer["alternatives"]] == [2, 0]
    assert answer["translatedText"][1] == ""
    assert answer["detectedLanguage"][0]["language"] == "en"


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"format": "html"}, "format", "plain text"),
        ({"format": "xml"}, "format", "text"),
        ({"alternatives": 16}, "alternatives", "15"),
        ({"q": [TEXT, "dog " * 200]}, "q.1", "127"),
        ({"q": 3}, "q", "string"),
        ({"q": [TEXT, 3]}, "q", "string"),
        ({"target": "fr"}, "target", "en-de"),
    ],
)
def test_what_libretranslate_s_clients_cannot_have_is_said_of_their_own_fields(
    translator: ServerProcess, fields: dict[str, Any], field: str, words: str
) -> None:
    """In JSON and, where it holds one text, in a form."""
    body = {"q": TEXT, "source": "en", "target": "de", **fields}
    with translator.client() as client:
        answers = [client.post("/libretranslate/translate", json=body)]
        if isinstance(body["q"], str):
            answers.append(client.post("/libretranslate/translate", data=body))
    for answer in answers:
        assert answer.status_code == 422
        error = answer.json()["errors"][0]
        assert error["field"] == field
        assert words in error["message"] + str(error.get("allowed"))


def test_libretranslate_s_form_has_alternatives_as_json_has(translator: ServerProcess, expected: str) -> None:
    """Each another text, and none of them the best one."""
    body = {"q": f"{TEXT} A dog.", "source": "en", "target": "de", "format": "text", "alternatives": 3}
    with translator.client() as client:
        found = client.post("/libretranslate/translate", json=body).json()
        assert client.post("/libretranslate/translate", data=body).json() == found
    assert len({found["translatedText"], *found["alternatives"]}) == 1 + len(found["alternatives"]) > 2
    assert "detectedLanguage" not in found


def test_triton_s_client_translates_a_batch(translator: ServerProcess, expected: str) -> None:
    """Texts as BYTES."""
    client = triton.InferenceServerClient(f"127.0.0.1:{translator.port}")
    given = triton.InferInput("text", [2], "BYTES")
    given.set_data_from_numpy(np.array([TEXT.encode(), b"Zwei Hunde spielen."], object))
    answer = client.infer("translate", [given])
    assert answer.as_numpy("translation")[0].decode() == expected
    assert [source.decode() for source in answer.as_numpy("source")] == ["en", "de"]
    client.close()
