"""Names of tasks in the OpenAPI document: those that are registered."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI


def document_tasks(app: FastAPI, names: list[str]) -> None:
    """Say of each field ``task`` what it can be."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            for schema in plain()["components"]["schemas"].values():
                for form in schema.get("properties", {}).get("task", {}).get("anyOf", ()):
                    if form.get("type") == "string":
                        form["enum"] = names
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI's documentation names
