"""Streams of texts: their frames, and what these must add up to."""

from __future__ import annotations

import json
from typing import Any


def events(text: str) -> list[dict[str, Any]]:
    """The frames of server-sent events."""
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def assert_streamed(frames: list[dict[str, Any]], texts: str, whole: list[str]) -> None:
    """Token frames add up to the texts, which the last frame has all under the name ``texts``."""
    said = [""] * len(whole)
    for frame in frames[:-1]:
        said[frame["index"]] += frame["text"]
    assert said == whole
    assert frames[-1]["type"] == "done"
    assert [item["text"] for item in frames[-1][texts]] == whole
