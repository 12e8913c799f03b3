"""Requests that the documentation page shows for ``/v2``; they run against the shipped bundles."""

from __future__ import annotations

from typing import Any

INFER: dict[str, Any] = {
    "forecast": {
        "summary": "one series, six steps ahead (forecaster)",
        "value": {
            "id": "1",
            "parameters": {"horizon": 6, "levels": "80", "freq": "h"},
            "inputs": [
                {
                    "name": "values",
                    "shape": [1, 8],
                    "datatype": "FP32",
                    "data": [112, 118, 132, 129, 121, 135, 148, None],
                }
            ],
        },
    },
    "sentiment": {
        "summary": "two texts (sentiment)",
        "value": {
            "inputs": [
                {
                    "name": "text",
                    "shape": [2],
                    "datatype": "BYTES",
                    "data": ["A warm and funny film.", "Dull from start to end."],
                }
            ],
            "outputs": [{"name": "label"}, {"name": "scores"}],
        },
    },
    "sequence": {
        "summary": "the first value of a sequence (forecaster)",
        "value": {
            "parameters": {"sequence_id": 42, "sequence_start": True},
            "inputs": [{"name": "values", "shape": [1, 1], "datatype": "FP32", "data": [112]}],
        },
    },
}
