"""The shipped translator: what people send, and what they get."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.e2e.server import ServerProcess
from tests.tasks.streamed import assert_streamed, events
from tests.tasks.translate.conftest import Ask

ENGLISH = "A man in a red jacket rides a bicycle."
GERMAN = "Zwei Hunde spielen im Schnee."


def test_a_sentence_is_translated_either_way(ask: Ask) -> None:
    """The direction is told by the words where it is not named."""
    (there,) = ask(text=ENGLISH, source="en", target="de")["translations"]
    assert there["text"].startswith("Ein Mann in einer roten Jacke")
    assert (there["source"], there["target"], there["finish_reason"]) == ("en", "de", "end")
    assert there["detected"] is None
    (back,) = ask(text=GERMAN)["translations"]
    assert re.fullmatch("Two dogs (are playing|play) in the snow.", back["text"])
    assert back["detected"]["language"] == "de"
    assert back["detected"]["confidence"] > 0.8


def test_lines_and_blanks_stay_where_they_were(ask: Ask) -> None:
    """Empty texts stay empty, and each sentence is translated as it is alone."""
    alone = ask(text=ENGLISH, source="en")["translations"][0]["text"]
    texts = [f"\n  {ENGLISH}\r\n\r\n{ENGLISH} {ENGLISH}\n", "", " \n"]
    found = [item["text"] for item in ask(text=texts, source="en", target="de")["translations"]]
    assert found == [f"\n  {alone}\r\n\r\n{alone} {alone}\n", "", " \n"]


def test_the_best_come_first(ask: Ask) -> None:
    """Sorted by score, all different."""
    (found,) = ask(text=GERMAN, n=4, beams=4)["translations"]
    texts = [found["text"], *(other["text"] for other in found["alternatives"])]
    scores = [found["score"], *(other["score"] for other in found["alternatives"])]
    assert scores == sorted(scores, reverse=True)
    assert len({*texts}) == 4


def test_alignments_say_what_each_word_was_made_from(ask: Ask) -> None:
    """Rows sum to one; the colour comes from the colour; all of the source was attended to."""
    text = f"{ENGLISH} A dog runs."
    (found,) = ask(text=text, source="en", alignments=True)["translations"]
    alignment = found["alignment"]
    assert all(sum(row) == pytest.approx(1, abs=1e-4) for row in alignment["weights"])
    sources = [text[start:end].strip() for start, end in alignment["source"]]
    targets = [found["text"][start:end].strip() for start, end in alignment["target"]]
    assert len(alignment["weights"]) == len(targets)
    row = alignment["weights"][next(at for at, word in enumerate(targets) if word.startswith("rot"))]
    assert sources[max(range(len(row)), key=row.__getitem__)] == "red"
    assert 0.6 < found["coverage"] <= 1


def test_a_translation_goes_on_from_its_prefix(ask: Ask) -> None:
    """What is given stays, and the rest fits."""
    (found,) = ask(text=ENGLISH, source="en", prefix="Auf einem Fahrrad")["translations"]
    assert found["text"].startswith("Auf einem Fahrrad")
    assert "Jacke" in found["text"]


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"text": ENGLISH, "source": "fr"}, "source", "en-de"),
        ({"text": ENGLISH, "source": "en", "target": "en"}, "target", "en-de"),
        ({"text": ENGLISH, "target": "fr"}, "target", "en-de"),
        ({"text": "Xyzzy 17"}, "source", "cannot be told"),
        ({"text": "dog " * 200, "source": "en"}, "text", "127"),
        ({"text": ["A dog.", "dog " * 200], "source": "en"}, "text.1", "127"),
        ({"text": ENGLISH, "n": 5, "beams": 4}, "n", "4 beams"),
        ({"text": ENGLISH, "beams": 17}, "beams", "16"),
        ({"text": ENGLISH, "stream": True, "beams": 4}, "beams", "stream"),
        ({"text": f"{ENGLISH} {ENGLISH}", "source": "en", "prefix": "Ein"}, "prefix", "alone"),
    ],
)
def test_what_cannot_be_done_is_said(
    translator: ServerProcess, fields: dict[str, Any], field: str, words: str
) -> None:
    """The field, and what is allowed."""
    with translator.client() as client:
        body = json.dumps(fields).encode()
        answer = client.post("/translate", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert words in error["message"] + str(error.get("allowed"))


def test_the_longest_sentence_is_read_and_ends(ask: Ask) -> None:
    """A hundred times the same word: the translation is bounded by the source's length."""
    (found,) = ask(text="dog " * 100, source="en", max_tokens=50)["translations"]
    assert found["finish_reason"] in ("length", "end")
    assert len(found["text"].split()) <= 50


@pytest.mark.parametrize("text", ["🐕 🐕", "犬が走る。", "Собака бежит.", "1 2 3", "?", "A 犬 runs."])
def test_what_was_never_seen_is_answered_and_said(ask: Ask, text: str) -> None:
    """Emoji, other scripts and numbers; a warning where most letters are strange."""
    (found,) = ask(text=text, source="en")["translations"]
    strange = any(letter >= "\u0400" for letter in text if letter.isalpha()) and "runs" not in text
    assert (found["warning"] is not None) == strange


def test_a_stream_gives_the_greedy_translation_word_by_word(translator: ServerProcess, ask: Ask) -> None:
    """Over server-sent events and a socket, for several texts at once."""
    texts = [f"{ENGLISH}\nA dog runs.", "A girl reads a book."]
    whole = [item["text"] for item in ask(text=texts, source="en", beams=1)["translations"]]
    body = {"text": texts, "source": "en", "stream": True}
    with translator.client() as client:
        frames = events(client.post("/translate", json=body).text)
    assert_streamed(frames, "translations", whole)
    with connect(f"{translator.url.replace('http', 'ws', 1)}/translate") as socket:
        for _ in range(2):
            socket.send(json.dumps({"text": texts, "source": "en"}))
            frames = [json.loads(socket.recv(timeout=30))]
            while frames[-1]["type"] == "token":
                frames.append(json.loads(socket.recv(timeout=30)))
            assert_streamed(frames, "translations", whole)
