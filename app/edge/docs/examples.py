"""Requests that work when pressed in ``/docs``: small, and valid for the shipped bundles."""

from __future__ import annotations

from fastapi.openapi.models import Example

_DAY = [112.0, 118.0, 132.0, 129.0, 121.0, 135.0, 148.0, 148.0, 136.0, 119.0, 104.0, 118.0]
_NEXT = [115.0, 126.0, 141.0, 135.0, 125.0, 149.0, 170.0, 170.0, 158.0, 133.0, 114.0, 140.0]

FORECAST: dict[str, Example] = {
    "one": {
        "summary": "One monthly series with a missing observation",
        "value": {
            "values": [*_DAY, None, *_NEXT[1:]],
            "start": "1949-01-01",
            "freq": "MS",
            "horizon": 12,
            "quantiles": [0.1, 0.5, 0.9],
        },
    },
    "many": {
        "summary": "Two series, intervals of 80 and 95 percent",
        "value": {
            "series": [{"id": "first", "values": _DAY}, {"id": "second", "values": _NEXT}],
            "freq": "MS",
            "horizon": 6,
            "levels": [80, 95],
        },
    },
}

FORECAST_CSV: dict[str, Example] = {
    "table": {
        "summary": "A time column and one series (set horizon in the query)",
        "value": "month,passengers\n"
        + "".join(f"1949-{month:02d},{value:g}\n" for month, value in enumerate(_DAY, start=1)),
    }
}

SENTIMENT: dict[str, Example] = {
    "one": {
        "summary": "One text, with the running score",
        "value": {"text": "A warm, funny and utterly charming film.", "trace": True},
    },
    "many": {
        "summary": "Several texts",
        "value": {"text": ["I would watch it again tomorrow.", "Two hours of my life that I want back."]},
    },
}

GENERATE: dict[str, Example] = {
    "greedy": {
        "summary": "The most likely continuation",
        "value": {"prompt": "ROMEO:", "max_tokens": 64, "temperature": 0},
    },
    "sampled": {
        "summary": "Two drawn continuations that end at an empty line",
        "value": {
            "prompt": "JULIET:\n",
            "max_tokens": 200,
            "temperature": 0.8,
            "seed": 7,
            "stop": "\n\n",
            "n": 2,
        },
    },
    "stream": {
        "summary": "Server-sent events",
        "value": {"prompt": "First Citizen:\n", "max_tokens": 100, "temperature": 0.7, "stream": True},
    },
}
