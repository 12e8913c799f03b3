"""What ``rnnserve bench`` asks of a classifier: short reviews."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from app.tasks.load import Load

_WORDS = (
    *("a", "an", "the", "film", "story", "cast", "was", "is", "never", "always", "with", "and", "but", "of"),
    *("good", "bad", "slow", "funny", "dull", "great"),
)


def _body(chance: random.Random, options: Mapping[str, int]) -> dict[str, Any]:
    return {"text": " ".join(chance.choices(_WORDS, k=chance.randint(5, 40)))}


LOAD = Load(
    body=_body,
    answered=b'"results"',
    # Token ids that any vocabulary has.
    inputs=lambda number: b"[%d]" % (2 + number % 8),
)
