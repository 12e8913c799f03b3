"""A captioner behind a real server: what people send, and what they get."""

from __future__ import annotations

import base64
import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import connect

from tests.e2e.server import ServerProcess
from tests.tasks.caption.network import MAX_TOKENS, SIZE, as_file, picture
from tests.tasks.streamed import assert_streamed, events

FILES = [as_file(picture(seed)) for seed in range(8)]


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def captions(http: httpx2.Client, files: list[bytes], **more: object) -> list[dict[str, Any]]:
    """Of several pictures in one request."""
    answer = http.post("/caption", json={"images": [encoded(data) for data in files], **more})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["captions"]
    return found


def of_file(http: httpx2.Client, data: bytes, query: str = "", kind: str = "image/png") -> dict[str, Any]:
    """Of a picture that is the body."""
    answer = http.post(f"/caption{query}", content=data, headers={"content-type": kind})
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["captions"]
    return dict(found)


def test_pictures_together_are_captioned_as_alone(http: httpx2.Client) -> None:
    """File or base64, one or several: text, score, alternatives and attention; and not all are alike."""
    alone = [captions(http, [data], n=3, attention=True)[0] for data in FILES]
    assert captions(http, FILES, n=3, attention=True) == alone
    assert captions(http, FILES[::-1], n=3, attention=True) == alone[::-1]
    assert [of_file(http, data, "?n=3&attention=true") for data in FILES] == alone
    assert len({found["text"] for found in alone}) > 3
    for found in alone:
        scores = [found["score"], *(other["score"] for other in found["alternatives"])]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == 3


def test_among_64_requests_at_once_a_caption_is_the_same(http: httpx2.Client) -> None:
    """Of all numbers of pictures and widths, which run together."""
    alone = {
        (index, beams): captions(http, [data], beams=beams, attention=True)[0]
        for index, data in enumerate(FILES)
        for beams in (1, 4)
    }
    chance = random.Random(0)
    wanted = [
        ([chance.randrange(8) for _ in range(chance.randint(1, 4))], chance.choice([1, 4])) for _ in range(64)
    ]
    with ThreadPoolExecutor(64) as pool:

        def asked(one: tuple[list[int], int]) -> list[dict[str, Any]]:
            return captions(http, [FILES[index] for index in one[0]], beams=one[1], attention=True)

        found = list(pool.map(asked, wanted))
    assert found == [[alone[index, beams] for index in indices] for indices, beams in wanted]


def test_attention_sums_to_one_over_the_grid_for_each_word(http: httpx2.Client) -> None:
    attention = of_file(http, FILES[0], "?attention=true")["attention"]
    lines, columns = attention["grid"]
    assert lines * columns == 16
    assert len(attention["weights"]) == len(attention["tokens"]) > 0
    for row in attention["weights"]:
        assert len(row) == 16
        assert sum(row) == pytest.approx(1, abs=1e-4)


def test_a_stream_gives_the_greedy_caption_word_by_word(server: ServerProcess, http: httpx2.Client) -> None:
    """Over server-sent events, of a file as well, and over a socket, several times."""
    whole = [found["text"] for found in captions(http, FILES[:3], beams=1)]
    body = {"images": [encoded(data) for data in FILES[:3]], "stream": True}
    assert_streamed(events(http.post("/caption", json=body).text), "captions", whole)
    headers = {"content-type": "image/png"}
    text = http.post("/caption?stream=true", content=FILES[0], headers=headers).text
    assert_streamed(events(text), "captions", whole[:1])
    with connect(f"{server.url.replace('http', 'ws', 1)}/caption") as socket:
        for _ in range(2):
            socket.send(json.dumps({"images": body["images"]}))
            frames = [json.loads(socket.recv(timeout=30))]
            while frames[-1]["type"] == "token":
                frames.append(json.loads(socket.recv(timeout=30)))
            assert_streamed(frames, "captions", whole)


def test_min_tokens_bounds_a_caption_and_its_stream(http: httpx2.Client) -> None:
    """At its length a caption stays as it is; to be longer by one it changes; streams do the same."""
    borders = 0
    for data in FILES:
        (free,) = captions(http, [data], beams=1, attention=True)
        length = len(free["attention"]["tokens"])
        for least in (length, length + 1) if free["finish_reason"] == "end" else ():
            (found,) = captions(http, [data], beams=1, attention=True, min_tokens=least)
            assert (found == free) == (least == length)
            assert len(found["attention"]["tokens"]) >= least
            body = {"images": encoded(data), "min_tokens": least, "stream": True}
            assert_streamed(events(http.post("/caption", json=body).text), "captions", [found["text"]])
            borders += 1
    assert borders


def test_a_form_s_file_and_a_file_of_an_untold_type_are_read(http: httpx2.Client) -> None:
    """As a browser and as curl without a content type send them."""
    expected = of_file(http, FILES[0])
    form = http.post("/caption", files={"file": ("picture.png", FILES[0], "image/png")})
    assert form.json()["captions"] == [expected]
    assert of_file(http, FILES[0], kind="application/octet-stream") == expected
    assert of_file(http, FILES[0], kind="application/x-www-form-urlencoded") == expected
    for kind in ("JPEG", "WEBP", "GIF"):
        data = as_file(Image.new("RGB", (8, 8)), kind)
        assert of_file(http, data, kind="") == of_file(http, data, kind=f"image/{kind.lower()}")


def test_max_tokens_bounds_a_caption(http: httpx2.Client) -> None:
    """An end in time is one."""
    for data in FILES:
        found = of_file(http, data, "?max_tokens=3&attention=true")
        assert len(found["attention"]["tokens"]) <= 3
        assert found["finish_reason"] in ("end", "length")
    assert {of_file(http, data, "?max_tokens=1")["finish_reason"] for data in FILES} >= {"length"}


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({}, "images", "required"),
        ({"images": []}, "images", "at least 1"),
        ({"images": ["%"]}, "images.0", "base64"),
        ({"images": [encoded(FILES[0]), encoded(b"x")]}, "images.1", "PNG"),
        ({"images": [encoded(FILES[0])] * 17}, "images", "16"),
        ({"images": [encoded(FILES[0])], "n": 5, "beams": 4}, "n", "4 beams"),
        ({"images": [encoded(FILES[0])], "beams": 17}, "beams", "16"),
        ({"images": [encoded(FILES[0])], "stream": True, "beams": 4}, "beams", "stream"),
        ({"images": [encoded(FILES[0])], "stream": True, "attention": True}, "attention", "stream"),
        ({"images": [encoded(FILES[0])], "max_tokens": MAX_TOKENS + 1}, "max_tokens", str(MAX_TOKENS)),
        ({"images": [encoded(FILES[0])], "min_tokens": MAX_TOKENS + 1}, "min_tokens", str(MAX_TOKENS)),
        ({"images": [encoded(FILES[0])], "min_tokens": 4, "max_tokens": 3}, "min_tokens", "3"),
        ({"images": [encoded(FILES[0])], "colour": 1}, "colour", ""),
    ],
)
def test_what_cannot_be_done_is_said(
    http: httpx2.Client, fields: dict[str, Any], field: str, words: str
) -> None:
    """The field, and what is allowed."""
    answer = http.post("/caption", json=fields)
    assert answer.status_code == 422
    error = answer.json()["errors"][0]
    assert error["field"] == field
    assert words in error["message"] + str(error.get("allowed"))


def test_options_of_a_file_are_checked_as_those_of_json(http: httpx2.Client) -> None:
    headers = {"content-type": "image/png"}
    for query, field in (
        ("?beams=0", "beams"),
        ("?n=9&beams=4", "n"),
        ("?colour=1", "colour"),
        ("?beams=x", "beams"),
    ):
        answer = http.post(f"/caption{query}", content=FILES[0], headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_hostile_pictures_are_answered_and_cost_no_memory(models: Path) -> None:
    """20,000 x 20,000 pixels of one colour in many requests at once; the server goes on."""
    bomb = as_file(Image.new("1", (20_000, 20_000)), "PNG")
    headers = {"content-type": "image/png"}
    with (
        ServerProcess(models, tasks="caption", default="caption=tiny-eyes") as server,
        server.client() as http,
    ):
        of_file(http, FILES[0])
        before = server.metric("process_resident_memory_bytes")
        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(lambda _: http.post("/caption", content=bomb, headers=headers), range(16))
            )
        after = server.metric("process_resident_memory_bytes")
        for answer in answers:
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["allowed"] == {"max": 25_000_000}
        assert after - before < 150e6
        broken = http.post("/caption", content=FILES[0][:200], headers=headers)
        assert (broken.status_code, broken.json()["errors"][0]["field"]) == (422, "body")
        large = http.post("/caption", content=bytes(17 * 2**20), headers=headers)
        assert large.status_code == 413
        assert of_file(http, FILES[0])["text"]


def test_a_limit_on_pixels_is_a_setting(models: Path) -> None:
    flags = {"tasks": "caption", "default": "caption=tiny-eyes", "max_pixels": 5_000, "max_images": 1}
    with ServerProcess(models, **flags) as server, server.client() as http:
        refused = http.post("/caption", content=FILES[0], headers={"content-type": "image/png"})
        assert refused.json()["errors"][0]["allowed"] == {"max": 5_000}
        assert of_file(http, as_file(picture(0, 60, 60)))["text"]
        assert http.get("/models/tiny-eyes").json()["limits"]["max_images"] == 1


def test_what_a_model_sees_is_told(http: httpx2.Client) -> None:
    found = http.get("/models/tiny-eyes").json()
    assert found["inputs"]["formats"] == ["JPEG", "PNG", "WEBP", "GIF"]
    assert (found["inputs"]["size"], found["inputs"]["grid"]) == (SIZE, [4, 4])
    assert np.prod(found["inputs"]["grid"]) == 16
