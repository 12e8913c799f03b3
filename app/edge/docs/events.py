"""What streams of events hold, for the OpenAPI document; ``itemSchema`` is OpenAPI 3.2's word."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.core.problem import ErrorFrame
from app.edge.http.event_stream import HEADER

_REFERENCE = "#/components/schemas/{model}"


def event_data(*frames: type[BaseModel]) -> dict[str, Any]:
    anyof = [{"$ref": _REFERENCE.format(model=frame.__name__)} for frame in frames]
    return {"type": "string", "contentMediaType": "application/json", "contentSchema": {"anyOf": anyof}}


def stream_responses(frames: tuple[type[BaseModel], ...]) -> dict[int | str, dict[str, Any]]:
    """What may answer a request for a stream of these frames, the last one last, by status."""
    names: list[str] = [frame.model_fields["type"].default for frame in frames]
    kinds = {"type": "string", "enum": [*names, "error"]}
    properties = {"id": {"type": "string"}, "event": kinds, "data": event_data(*frames, ErrorFrame)}
    event = {"type": "object", "required": ["event", "data"], "properties": properties}
    before = ", ".join(f"`{name}`" for name in names[:-1])
    return {
        200: {
            "description": f"the whole answer; with `stream`, events {before}, then `{names[-1]}` or `error`",
            "content": {"text/event-stream": {"itemSchema": event}},
        },
        204: {"description": "nothing is behind the event of `Last-Event-ID`"},
    }


RESUMING: dict[str, Any] = {
    "parameters": [
        {
            "name": HEADER,
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "with `stream` and the same body: go on behind the event that had this id",
        }
    ]
}


def document_events(app: FastAPI, frames: Iterable[type[BaseModel]]) -> None:
    modes: Any = [(frame, "validation") for frame in dict.fromkeys(frames)]
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schemas = plain()["components"]["schemas"]
            _, found = models_json_schema(modes, ref_template=_REFERENCE)
            for name, schema in found["$defs"].items():
                schemas.setdefault(name, schema)
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI's documentation names
