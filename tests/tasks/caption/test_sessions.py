"""Sessions that say how a caption may go on: the picture stays with them, on any replica, after a kill."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from tests.e2e.server import ServerProcess
from tests.tasks.caption.network import as_file, picture

PARTS = ["a dog", "runs,", "two men"]


def opened(http: httpx2.Client, id: str, data: bytes) -> None:
    """A session on a picture."""
    options = {"image": base64.b64encode(data).decode()}
    http.post("/sessions", json={"task": "caption", "id": id, "options": options}).raise_for_status()


def fed(http: httpx2.Client, id: str, parts: list[str]) -> list[dict[str, Any]]:
    """The outputs of the steps."""
    found: list[dict[str, Any]] = []
    for part in parts:
        answer = http.post(f"/sessions/{id}/steps", json={"inputs": part})
        assert answer.status_code == 200, answer.text
        found += answer.json()["outputs"]
    return found


def test_a_session_goes_on_after_a_kill_as_if_nothing_had_been(models: Path, tmp_path: Path) -> None:
    """On another server with another memory: the same to the bit, from a record of a few kilobytes."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8))
    data = as_file(noise, "JPEG", quality=50)
    assert len(data) > 2000
    flags = {"tasks": "caption", "default": "caption=tiny-eyes", "state_dir": tmp_path}
    with ServerProcess(models, **flags) as server, server.client() as http:
        opened(http, "whole", data)
        whole = fed(http, "whole", PARTS)
        opened(http, "broken", data)
        first = fed(http, "broken", PARTS[:2])
        server.kill()
    with ServerProcess(models, **flags) as server, server.client() as http:
        assert first + fed(http, "broken", PARTS[2:]) == whole
        http.post("/sessions/broken/fork", json={"id": "other"}).raise_for_status()
        size = len(http.get("/sessions/broken/state").content)
        assert fed(http, "other", ["jump"]) == fed(http, "broken", ["jump"])
        opened(http, "another", as_file(picture(1)))
        assert fed(http, "another", PARTS) != whole
    assert size < 8192


def test_what_may_begin_is_told_before_anything_is_fed(http: httpx2.Client) -> None:
    """An empty text asks for it, once; then the likeliest words make the greedy caption."""
    data = as_file(picture(1))
    opened(http, "empty", data)
    (output,) = fed(http, "empty", [""])
    assert http.post("/sessions/empty/steps", json={"inputs": ""}).status_code == 422
    body = {"images": base64.b64encode(data).decode(), "beams": 1, "attention": True, "no_repeat_ngram": 0}
    said = http.post("/caption", json=body).json()["captions"][0]["attention"]["tokens"]
    for token in said:
        likely = [item["token"] for item in output["next"] if item["token"] not in ("", "<unk>")]
        assert likely[0] == token
        (output,) = fed(http, "empty", [token])


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "options.image"),
        ({"image": 3}, "options.image"),
        ({"image": "%"}, "options.image"),
        ({"image": "AAAA"}, "options.image"),
        ({"image": base64.b64encode(as_file(picture(0))).decode(), "beams": 2}, "options.beams"),
        ({"image": base64.b64encode(as_file(Image.new("1", (1_500, 1_500)))).decode()}, "options.image"),
        ({"image": base64.b64encode(bytes(4000)).decode()}, "options"),
    ],
)
def test_a_session_is_refused_with_the_option_that_is_wrong(
    http: httpx2.Client, options: dict[str, Any], field: str
) -> None:
    answer = http.post("/sessions", json={"task": "caption", "options": options})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
