"""What ``rnnserve bench`` asks of a generator: streamed texts of one length."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from app.tasks.load import Load, LoadOption


def _body(chance: random.Random, options: Mapping[str, int]) -> dict[str, Any]:
    return {"max_tokens": options["tokens"], "temperature": 1.0, "seed": chance.randrange(2**31)}


def produced(frame: Mapping[str, Any]) -> int:
    return int(frame["usage"]["completion_tokens"] if frame["type"] == "done" else frame["index"])


LOAD = Load(
    options=(LoadOption(name="tokens", help="length of a text", default=100, least=1, most=10_000),),
    body=_body,
    # Token ids that any vocabulary has.
    inputs=lambda number: b"[%d]" % (2 + number % 8),
    produced=produced,
)
