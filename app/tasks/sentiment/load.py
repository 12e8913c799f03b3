"""What ``rnnserve bench`` sends to a classifier."""

from __future__ import annotations

from app.tasks.task import Load

_WORDS = (
    "a", "warm", "funny", "film", "that", "drags", "in", "the", "middle", "and", "ends", "well",
)  # fmt: skip

LOAD = Load(
    body=lambda chance, options: {"text": " ".join(chance.choices(_WORDS, k=20))},
    answered=b'"results"',
    # Token ids that any vocabulary has.
    inputs=lambda number: b"[%d]" % (2 + number % 8),
)
