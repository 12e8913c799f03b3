"""Clients of others, as they are."""

from __future__ import annotations

import base64
from pathlib import Path

import httpx2
import numpy as np
from huggingface_hub import InferenceClient
from tritonclient import http as triton

from app.tasks.caption.pictures import Sight
from tests.e2e.server import ServerProcess
from tests.tasks.caption.network import DETAIL, SIZE, as_file, picture


def test_hugging_face_s_client_gets_a_caption(
    server: ServerProcess, http: httpx2.Client, tmp_path: Path
) -> None:
    """Of bytes, and of a file by its path, whose type it tells by the name."""
    client = InferenceClient(model=f"{server.url}/caption/hf", token="none")
    for seed, kind in ((0, "PNG"), (1, "JPEG"), (2, "WEBP")):
        data = as_file(picture(seed), kind)
        answer = http.post("/caption", json={"images": base64.b64encode(data).decode()})
        expected = answer.json()["captions"][0]["text"]
        assert client.image_to_text(data).generated_text == expected
        (path := tmp_path / f"picture.{kind.lower()}").write_bytes(data)
        assert client.image_to_text(str(path)).generated_text == expected


def test_hugging_face_s_json_has_parameters(http: httpx2.Client) -> None:
    """With a file in base64; a mistake is named."""
    inputs = base64.b64encode(as_file(picture(0))).decode()
    short = http.post("/caption/hf", json={"inputs": inputs, "parameters": {"max_new_tokens": 2}})
    assert len(short.json()[0]["generated_text"].split()) <= 2
    wrong = http.post("/caption/hf", json={"inputs": "%"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "images.0")


def test_triton_s_client_captions_a_batch(server: ServerProcess, http: httpx2.Client) -> None:
    """Pictures as FP32, as the network takes them."""
    sight = Sight(SIZE, DETAIL, 10**6)
    files = [as_file(picture(seed)) for seed in range(3)]
    answer = http.post("/caption", json={"images": [base64.b64encode(data).decode() for data in files]})
    expected = [item["text"] for item in answer.json()["captions"]]
    pixels = np.stack([sight.seen(sight.small(data, "body")) for data in files])
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    for binary in (True, False):
        given = triton.InferInput("image", list(pixels.shape), "FP32")
        given.set_data_from_numpy(pixels, binary_data=binary)
        found = client.infer("tiny-eyes", [given])
        assert [text.decode() for text in found.as_numpy("caption")] == expected
        assert found.as_numpy("score").shape == (3,)
    client.close()
    wrong = {"name": "image", "shape": [1, 2, SIZE, SIZE], "datatype": "FP32", "data": [0.0] * (2 * SIZE**2)}
    assert http.post("/v2/models/tiny-eyes/infer", json={"inputs": [wrong]}).status_code == 400
