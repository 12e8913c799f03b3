"""Every route that reads a body stops at the limit, whether the size is announced or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.server import ServerProcess

LIMIT = 1000


@pytest.fixture(scope="module")
def small(one_model: Path) -> Iterator[httpx2.Client]:
    """A server that takes small bodies."""
    with ServerProcess(one_model, max_body_bytes=LIMIT) as process, process.client() as client:
        yield client


def test_no_route_reads_more_than_the_limit(small: httpx2.Client) -> None:
    """413 in the route's own shape, for every route whose documentation has a body."""
    paths = small.get("/openapi.json").json()["paths"]
    reading = [
        (method.upper(), path)
        for path, item in paths.items()
        for method, operation in item.items()
        if "requestBody" in operation
    ]
    assert {("POST", "/forecast"), ("POST", "/sessions"), ("POST", "/v1/completions")} <= set(reading)
    assert ("POST", "/v2/models/{model}/infer") in reading
    for method, path in reading:
        url = path.replace("{", "").replace("}", "")
        for body in (b"[" * (LIMIT + 1), iter([b"[" * LIMIT, b"["])):
            answer = small.request(method, url, content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 413, (path, answer.text)
            assert str(LIMIT) in answer.text
