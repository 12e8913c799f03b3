"""Completions that work when pressed in ``/docs``, with the shipped bundles."""

from __future__ import annotations

from fastapi.openapi.models import Example

COMPLETION: dict[str, Example] = {
    "one": {
        "summary": "One prompt, up to an empty line",
        "value": {
            "model": "shakespeare",
            "prompt": "ROMEO:",
            "max_tokens": 80,
            "temperature": 0.7,
            "seed": 1,
            "stop": "\n\n",
        },
    },
    "scored": {
        "summary": "How likely two texts are to the model; nothing is generated",
        "value": {
            "model": "shakespeare",
            "prompt": ["The king is dead.", "The king is bread."],
            "max_tokens": 0,
            "echo": True,
            "logprobs": 0,
        },
    },
}
