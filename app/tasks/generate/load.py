"""What ``rnnserve bench`` sends to a language model."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from app.tasks.task import Load


def _body(chance: Random, options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "max_tokens": options["tokens"],
        "temperature": 1.0,
        "stream": True,
        "seed": chance.getrandbits(48),
    }


LOAD = Load(
    body=_body,
    answered=b'"done"',
    # Token ids that any vocabulary has.
    inputs=lambda number: b"[%d]" % (2 + number % 8),
    streams=True,
)
