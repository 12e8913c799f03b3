"""The routes of ``/v2``: a body may be absent, or JSON with tensors' bytes behind it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from app.core.problem import Problem
from app.edge.edge import edge_of
from app.edge.errors import TYPE_PREFIX, ErrorBody
from app.edge.http.body import json_text
from app.edge.http.routing import BytesRoute
from app.protocols.oip.schema import OipError

ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {"model": OipError, "description": "what was wrong, and what is allowed"}
}
_BAD_REQUEST = frozenset(
    {
        "invalid-input",
        "invalid-state",
        "load-failed",
        "model-mismatch",
        "session-gone",
        "state-quarantined",
        "unknown-session",
    }
)

_NAMED = frozenset({"body", "inputs", "outputs", "sequence_id"})
"""Fields whose sentences say where they belong."""

ModelPath = Annotated[str, Path(description="the model's name")]
VersionPath = Annotated[str, Path(description="a version, or a label")]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class OipRoute(BytesRoute):
    """Reads JSON whatever the content type says."""

    absent = b"{}"

    async def parse(
        self, model: type[BaseModel], content_type: str, body: bytes, request: Request
    ) -> BaseModel:
        return model.model_validate_json(await json_text(body, edge_of(request)))


def by_version(
    router: APIRouter, method: str, action: str, **documented: Any
) -> Callable[[Endpoint], Endpoint]:
    """Add an endpoint on a model, with and without a version in its path, which it reads from there."""
    documented["responses"] = {**ERRORS, **documented.get("responses", {})}
    end = f"/{action}" if action else ""

    def add(endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def of_version(*arguments: Any, version: str, **path: Any) -> Response:
            answer: Response = await endpoint(*arguments, **path)
            return answer

        plain = inspect.signature(endpoint, eval_str=True)
        version = inspect.Parameter("version", inspect.Parameter.KEYWORD_ONLY, annotation=VersionPath)
        signature = plain.replace(parameters=[*plain.parameters.values(), version])
        of_version.__signature__ = signature  # type: ignore[attr-defined]  # what FastAPI reads
        paths: dict[str, Callable[..., Any]] = {
            "/v2/models/{model}": endpoint,
            "/v2/models/{model}/versions/{version}": of_version,
        }
        for path, asked in paths.items():
            router.add_api_route(path + end, asked, methods=[method], **documented)
        return endpoint

    return add


def as_oip_error(problem: Problem) -> ErrorBody:
    """What is wrong with a request is 400 there, whatever the native routes say."""
    field = problem.errors[0].field if problem.errors else ""
    named = not field or field in problem.detail or field.partition(".")[0] in _NAMED
    body = OipError.model_construct(error=problem.detail if named else f"{field}: {problem.detail}")
    status = 400 if problem.type.removeprefix(TYPE_PREFIX) in _BAD_REQUEST else problem.status
    return ErrorBody(status, body.__pydantic_serializer__.to_json(body), "application/json")
