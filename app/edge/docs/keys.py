"""What keys add to the service's own description: how to send one, and what is answered without."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from app.edge.http.access import PathRules

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "an API key"},
}
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetail"}}}


def document_keys(app: FastAPI, rules: PathRules, foreign: tuple[str, ...]) -> None:
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            schema.setdefault("components", {})["securitySchemes"] = _SCHEMES
            for path, item in schema["paths"].items():
                for operation in item.values():
                    _add(path, operation, rules, foreign)
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI's documentation names


def _add(path: str, operation: dict[str, Any], rules: PathRules, foreign: tuple[str, ...]) -> None:
    answers: dict[str, Any] = operation.setdefault("responses", {})
    content = {} if path.startswith(foreign) else {"content": _PROBLEM}
    if path not in rules.public:
        operation["security"] = [{scheme: []} for scheme in _SCHEMES]
        answers.setdefault("401", {"description": "an API key is needed", **content})
    if path.startswith(rules.admin):
        answers.setdefault("403", {"description": "the key has not the role admin", **content})
    if path not in rules.health:
        answers.setdefault("429", {"description": "the key asks too fast; see Retry-After", **content})
