"""Failures as the Open Inference Protocol words them: ``{"error": "..."}``.

What is wrong with a request is 400 there, whatever the native routes say.
"""

from __future__ import annotations

from app.core.problem import Problem
from app.edge.errors import TYPE_PREFIX, ErrorBody
from app.protocols.oip.schema import OipError

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


def as_oip_error(problem: Problem) -> ErrorBody:
    field = problem.errors[0].field if problem.errors else ""
    named = not field or field in problem.detail or field.partition(".")[0] in _NAMED
    body = OipError.model_construct(error=problem.detail if named else f"{field}: {problem.detail}")
    status = 400 if problem.type.removeprefix(TYPE_PREFIX) in _BAD_REQUEST else problem.status
    return ErrorBody(status, body.__pydantic_serializer__.to_json(body), "application/json")
