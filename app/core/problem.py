"""``application/problem+json`` (RFC 9457): which field, what was wrong, what is allowed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.core.schema import Answer


class FieldError(Answer):
    """One thing that is wrong with a request."""

    field: str = Field(description="dotted path, such as `series.3.values.17`")
    message: str
    allowed: Any = Field(default=None, description="the limit or the choices, when there is one")


class Problem(Answer):
    """What every problem says; what ``type`` holds differs between a body and a frame."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = Field(default_factory=list)
    request_id: str
    retry_after_s: float | None = Field(default=None, description="when trying again may help")
    step: int | None = Field(default=None, description="of a session: its last applied step")
    expected: int | None = Field(default=None, description="of a session: the `seq` that is due")
    reason: str | None = Field(default=None, description="why a session ended: `expired` or `closed`")
    ended_at: str | None = Field(default=None, description="when a session ended")


class ProblemDetail(Problem):
    """The body of every HTTP error."""

    type: str = Field(description="`urn:rnnserve:problem:` and a name listed in docs/api.md")


class ErrorFrame(Problem):
    """A problem as a frame: the fields of an HTTP problem, its type under ``problem``."""

    type: Literal["error"] = "error"
    problem: str
