"""What the OpenAPI document says besides the routes: names of tasks, streams of events, and keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.core.problem import ErrorFrame
from app.edge.edge import Edge
from app.edge.http.access import PathRules
from app.edge.http.event_stream import HEADER
from app.edge.http.routing import PROBLEM_CONTENT
from app.tasks.task import AnswerWriter

_REFERENCE = "#/components/schemas/{model}"
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "an API key"},
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


OPTIONAL_BODY: dict[str, Any] = {"requestBody": {"required": False}}


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
            # OpenAPI 3.2's word; FastAPI writes it into documents of 3.1 as well.
            "content": {"text/event-stream": {"itemSchema": event}},
        },
        204: {"description": "nothing is behind the event of `Last-Event-ID`"},
    }


def written_responses(writers: Iterable[AnswerWriter]) -> dict[int | str, dict[str, Any]]:
    """What a request gets that asks for another content type than JSON."""
    content = {
        writer.media_type: {"schema": {"type": "string"}, "example": writer.example} for writer in writers
    }
    return {200: {"description": "as `Accept` prefers", "content": content}} if content else {}


def document(
    app: FastAPI,
    edge: Edge,
    frames: Iterable[type[BaseModel]],
    rules: PathRules | None,
    foreign: tuple[str, ...],
) -> None:
    """Complete the application's document.

    ``rules`` are ``None`` where no keys are asked for; behind the prefixes ``foreign`` failures have other
    shapes.
    """
    modes: Any = [(frame, "validation") for frame in dict.fromkeys(frames)]
    plain, tasks = app.openapi, list(edge.tasks.by_name)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            components = schema["components"]
            for model in components["schemas"].values():
                for form in model.get("properties", {}).get("task", {}).get("anyOf", ()):
                    if form.get("type") == "string":
                        form["enum"] = tasks
            _, found = models_json_schema(modes, ref_template=_REFERENCE)
            components["schemas"] = found["$defs"] | components["schemas"]
            if rules is not None:
                components["securitySchemes"] = _SCHEMES
                for path, item in schema["paths"].items():
                    for operation in item.values():
                        _ask_for_keys(path, operation, rules, foreign)
        schema = plain()
        if rules is None:
            # With keys, the document is open to everybody, and the models are not.
            _show_models(schema["paths"], edge)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI's documentation names


def _show_models(paths: dict[str, Any], edge: Edge) -> None:
    """Beside a task's examples those of its models, which come and go: requests in a model's own terms."""
    for task in edge.tasks:
        body = paths[f"/{task.name}"]["post"]["requestBody"]["content"]["application/json"]
        body["examples"] = dict(task.examples) | {
            reference: {"summary": found.manifest.description, "value": found.model.inputs["example"]}
            for reference, found in edge.service.catalog.deployments.items()
            if found.task is task and found.model is not None and "example" in found.model.inputs
        }


def _ask_for_keys(path: str, operation: dict[str, Any], rules: PathRules, foreign: tuple[str, ...]) -> None:
    answers: dict[str, Any] = operation.setdefault("responses", {})
    content = {} if path.startswith(foreign) else {"content": PROBLEM_CONTENT}
    if path not in rules.public:
        operation["security"] = [{scheme: []} for scheme in _SCHEMES]
        answers.setdefault("401", {"description": "an API key is needed", **content})
    if path.startswith(rules.admin):
        answers.setdefault("403", {"description": "the key has not the role admin", **content})
    if path not in rules.health:
        answers.setdefault("429", {"description": "the key asks too fast; see Retry-After", **content})
