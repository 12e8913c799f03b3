"""Failures as the OpenAI API words them; a field that is wrong is 400 there."""

from __future__ import annotations

from app.core.problem import Problem
from app.edge.errors import TYPE_PREFIX, ErrorBody
from app.protocols.openai.schema import OpenAIError, OpenAIErrorAnswer

_CODES = {"invalid-input": "invalid_value", "unknown-model": "model_not_found", "not-found": "unknown_url"}
_CODES_BY_STATUS = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


def as_openai_error(problem: Problem) -> ErrorBody:
    status = 400 if problem.status == 422 else problem.status
    body = openai_error(problem)
    return ErrorBody(status, body.__pydantic_serializer__.to_json(body), "application/json")


def openai_error(problem: Problem) -> OpenAIErrorAnswer:
    """The error object, which is also an event of a stream."""
    slug, status = problem.type.removeprefix(TYPE_PREFIX), problem.status
    # The message says where in the parameter it is wrong.
    name = problem.errors[0].field.partition(".")[0] if problem.errors else "body"
    if status == 429:
        kind = "rate_limit_error"
    else:
        kind = "invalid_request_error" if status < 500 else "server_error"
    error = OpenAIError.model_construct(
        message=problem.detail,
        type=kind,
        param=None if name in ("body", "content-type") else name,
        code=_CODES_BY_STATUS.get(status) or _CODES.get(slug) or slug.replace("-", "_"),
    )
    return OpenAIErrorAnswer.model_construct(error=error)
