"""Session requests that work when pressed in ``/docs``; see ``app.edge.docs.examples``."""

from __future__ import annotations

from fastapi.openapi.models import Example

CREATE: dict[str, Example] = {
    "forecast": {
        "summary": "On the default forecaster, hourly",
        "value": {"task": "forecast", "id": "boiler-7", "options": {"freq": "h"}, "ttl_seconds": 3600},
    },
    "text": {"summary": "On a model by its name", "value": {"model": "shakespeare"}},
}
FORK: dict[str, Example] = {"copy": {"summary": "An id is drawn", "value": {}}}
REWIND: dict[str, Example] = {
    "name": {"summary": "To a named snapshot", "value": {"to": "calm"}},
    "start": {"summary": "To the start", "value": {"to": 0}},
}
STEP: dict[str, Example] = {
    "one": {"summary": "A value", "value": {"seq": 1, "inputs": 112.0}},
    "several": {
        "summary": "Several, one with its time",
        "value": {"seq": 1, "inputs": [112.0, None, {"value": 118.5, "time": "2024-01-01T02:00"}]},
    },
    "text": {"summary": "A text", "value": {"inputs": "O Romeo"}},
}
MANY_STEPS: dict[str, Example] = {
    "two": {
        "summary": "Two sessions",
        "value": {
            "steps": [
                {"id": "boiler-7", "seq": 1, "inputs": 112.0},
                {"id": "boiler-8", "seq": 1, "inputs": [60.5, 61.0]},
            ]
        },
    }
}
STATELESS: dict[str, Example] = {
    "first": {"summary": "The first steps", "value": {"task": "forecast", "inputs": [112.0, 118.0]}}
}
