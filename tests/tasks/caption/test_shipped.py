"""The shipped captioner: it names what is to be seen, and its bits depend on no neighbour."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import SHIPPED
from tests.e2e.server import ServerProcess
from tests.public_data import data_folder
from training.caption.data import load
from training.caption.settings import CaptionOptions

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="module")
def shipped() -> Iterator[httpx2.Client]:
    """A client of a server with the shipped bundles of the task."""
    with ServerProcess(SHIPPED, tasks="caption", skip_bad_models=True) as server, server.client() as client:
        yield client


@pytest.fixture(scope="module")
def photographs() -> dict[str, tuple[bytes, tuple[str, ...]]]:
    """Pictures of the test part with what people say of them."""
    folder = data_folder()
    if folder is None or not (folder / "captioning/flickr8k/images_128.zip").is_file():
        pytest.skip("the pictures of Flickr8k are not here")
    corpus = load(CaptionOptions(dataset="flickr8k"), folder, 0)
    return {picture.name: (corpus.read(picture.name), picture.captions) for picture in corpus.test[:300]}


def captions(http: httpx2.Client, files: list[bytes], **more: object) -> list[dict[str, Any]]:
    images = [base64.b64encode(data).decode() for data in files]
    answer = http.post("/caption", json={"images": images, **more})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["captions"]
    return found


def test_a_photograph_of_a_person_is_said_to_be_one(shipped: httpx2.Client) -> None:
    """At two sizes, of which it sees the same detail."""
    for name in ("photographer.jpg", "photographer-small.jpg"):
        (found,) = captions(shipped, [(EXAMPLES / name).read_bytes()])
        assert re.search(r"\b(man|person)\b", found["text"])


def test_dogs_are_named_where_there_are_dogs_and_seldom_elsewhere(
    shipped: httpx2.Client, photographs: dict[str, tuple[bytes, tuple[str, ...]]]
) -> None:
    """As most of five people say."""
    dogs = [data for data, said in photographs.values() if sum(" dog" in text for text in said) >= 4]
    others = [
        data for data, said in photographs.values() if not re.search("dog|puppy|animal", " ".join(said))
    ]
    named = ["dog" in found["text"] for at in (0, 15) for found in captions(shipped, dogs[at : at + 15])]
    missaid = ["dog" in found["text"] for at in (0, 15) for found in captions(shipped, others[at : at + 15])]
    assert sum(named) >= 25
    assert sum(missaid) <= 3


def test_in_any_company_a_caption_is_the_same_to_the_bit(
    shipped: httpx2.Client, photographs: dict[str, tuple[bytes, tuple[str, ...]]]
) -> None:
    """Score and attention too, of many requests at once."""
    files = [data for data, _ in photographs.values()][:16]
    alone = [captions(shipped, [data], attention=True)[0] for data in files]
    assert captions(shipped, files[::-1], attention=True) == alone[::-1]
    with ThreadPoolExecutor(16) as pool:
        at_once = list(pool.map(lambda data: captions(shipped, [data], attention=True)[0], files))
    assert at_once == alone
    assert len({found["text"] for found in alone}) > 8
