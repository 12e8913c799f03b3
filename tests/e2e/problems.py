"""Problem documents."""

from __future__ import annotations

from typing import Any

import httpx2


def problem(answer: httpx2.Response, status: int, slug: str) -> dict[str, Any]:
    """The problem document, after checking all that every problem has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"urn:rnnserve:problem:{slug}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    return document
