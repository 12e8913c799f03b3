"""Sentences a second, greedy and by four beams, beside the same search in raw ONNX Runtime.

    python -m benchmarks.translate [--seconds 1.5] [--rounds 9] [--models models]

Sentences of the bundle's own words, no two alike. Beside it: what long sources that arrive cost the
streams that run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.features.text import TextCodec
from app.tasks.translate.spec import TranslateSpec
from benchmarks import attending

_PARTS = (
    "A man|A boy|A woman|A girl|Two dogs|Three children|Several people|An old man|A player|The friends",
    "in red|in a jacket|with a hat|in the snow|near a lake|on a bench|in blue|at a table|outside|together",
    "playing|reading a book|riding bicycles|jumping|eating|climbing stairs|singing|waiting|talking|running",
    "on the street|in the park|in the water|at a market|by a car|on stage|at home|on a hill|in town|there",
    "today|in the sun|at night|with others|for a crowd|under a tree|alone|again|in winter|near a fence",
)


def sentence(index: int) -> str:
    """Another one for each index up to 100,000, since a server remembers what its encoder has read."""
    digits = f"{index * 7919 % 100_000:05}"
    return " ".join(part.split("|")[int(digit)] for part, digit in zip(_PARTS, digits, strict=True)) + "."


LONG = " and ".join(sentence(at)[:-1].lower() for at in range(8))
STREAM = attending.Streamed("/translate", {"text": LONG, "source": "en", "target": "de"})


def found(models: Path) -> attending.Measured:
    """The newest translator."""
    bundle = attending.bundle_of(models, "translate")
    spec = bundle.manifest.spec_as(TranslateSpec)
    assert bundle.tokenizer is not None
    codec = TextCodec(bundle.tokenizer)

    def inputs(first: int, count: int) -> attending.Inputs:
        given = [[*codec.encode(sentence(at)), spec.end_token] for at in range(first, first + count)]
        lengths = np.array([len(source) for source in given])
        tokens = np.zeros((count, lengths.max()), np.int64)
        for row, source in enumerate(given):
            tokens[row, : len(source)] = source
        return tokens, lengths

    return attending.Measured(
        task="translate",
        things="sentences",
        bundle=bundle,
        start=spec.start("de"),
        end=spec.end_token,
        most=40,
        inputs=inputs,
        body=lambda index, width: {
            "text": sentence(index),
            "source": "en",
            "target": "de",
            "beams": width,
        },
        stream=STREAM,
        reading=lambda index: {
            "text": [f"{sentence(4 * index + at)[:-1]} and {LONG}" for at in range(4)],
            "source": "en",
            "beams": 1,
            "max_tokens": 1,
        },
        arriving="long sources",
    )


if __name__ == "__main__":
    attending.main(__doc__, found)
