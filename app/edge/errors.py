"""What each failure is to a client: status, title and close code. Nothing else in ``app`` knows these."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from itertools import accumulate
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.core import errors as tree
from app.core.problem import ErrorFrame, FieldError, Problem, ProblemDetail
from app.core.schema import Request, in_words

TYPE_PREFIX = "urn:rnnserve:problem:"
MEDIA_TYPE = "application/problem+json"
INTERNAL_DETAIL = "The server failed to answer this request; its log has the details under the request id."

CLOSE_IDLE = 1000
CLOSE_UNREAD = 1008
CLOSE_INTERNAL = 1011
CLOSE_RESTART = 1012

MAX_FIELD_ERRORS = 10
MAX_COUNTED_ERRORS = 1000
MAX_TOLD_CHARS = 2000
"""Of each text, and of each list of what is allowed: they may hold what the client wrote."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What one class of failures is called. ``public`` messages are written for the caller."""

    slug: str
    title: str
    status: int
    public: bool = True


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """A failure as one protocol writes it."""

    status: int
    body: bytes
    media_type: str


ErrorShape = Callable[[Problem], ErrorBody]
"""How one protocol writes failures; ``app.edge.protocol`` knows which path speaks which."""


INTERNAL = Kind("internal", "Internal error", 500, public=False)
KINDS: dict[type[Exception], Kind] = {
    tree.Unauthenticated: Kind("unauthenticated", "An API key is needed", 401),
    tree.Forbidden: Kind("forbidden", "This is not allowed here", 403),
    tree.InvalidInput: Kind("invalid-input", "The request is not valid", 422),
    tree.UnknownModel: Kind("unknown-model", "No such model is served", 404),
    tree.LoadFailed: Kind("load-failed", "The model cannot be served", 409),
    tree.UnknownSession: Kind("unknown-session", "There is no such session", 404),
    tree.SessionGone: Kind("session-gone", "The session has ended", 410),
    tree.SequenceConflict: Kind("sequence-conflict", "Another step is due", 409),
    tree.SessionExists: Kind("sequence-conflict", "There is a session of that id", 409),
    tree.ModelMismatch: Kind("model-mismatch", "The state belongs to another model version", 412),
    tree.InvalidState: Kind("invalid-state", "The state is not one of this server's", 422),
    tree.PayloadTooLarge: Kind("payload-too-large", "The request is too large", 413),
    tree.UnsupportedMedia: Kind("unsupported-media", "The content type is not read here", 415),
    tree.Overloaded: Kind("overloaded", "The server is busy", 503),
    tree.ModelNotLoaded: Kind("model-not-loaded", "The model could not be loaded", 503),
    tree.Draining: Kind("draining", "The server is shutting down", 503),
    tree.StoreFull: Kind("store-full", "There is no room for another session", 503),
    tree.SessionLimit: Kind("session-limit", "This caller has as many sessions as it may", 429),
    tree.RateLimited: Kind("rate-limited", "This caller asks too fast", 429),
    tree.StoreUnavailable: Kind("store-unavailable", "The session store cannot be reached", 503),
    tree.DeadlineExceeded: Kind("deadline-exceeded", "The request took too long", 504),
    tree.RunFailed: Kind("run-failed", "The model failed on this request", 500),
    tree.StateQuarantined: Kind("state-quarantined", "The step would have spoilt the session's state", 500),
    tree.CorruptSession: Kind("corrupt-session", "The stored session is damaged", 500),
    tree.StoreDamaged: Kind("store-damaged", "The session store is damaged", 500),
    tree.EngineDead: Kind("engine-dead", "The model has stopped", 503),
    tree.DeviceUnavailable: INTERNAL,
    tree.BundleError: INTERNAL,
    tree.ConfigurationError: INTERNAL,
    tree.TrainingError: INTERNAL,
}
NOT_FOUND = Kind("not-found", "There is nothing at this address", 404)
BAD_METHOD = Kind("method-not-allowed", "The method is not allowed here", 405)
REFUSED = Kind("refused", "The request was refused", 400)


def kind_of(error: BaseException) -> Kind:
    """The entry of the error's class, or of its nearest base that has one."""
    for base in type(error).__mro__:
        if base in KINDS:
            return KINDS[base]
    if isinstance(error, ValidationError):
        return KINDS[tree.InvalidInput]
    if isinstance(error, HTTPException):
        known = {404: NOT_FOUND, 405: BAD_METHOD}.get(error.status_code)
        return known or Kind(REFUSED.slug, HTTPStatus(error.status_code).phrase, error.status_code)
    return INTERNAL


def is_internal(error: BaseException) -> bool:
    """Whether the client learns nothing but the request id, so that the log must have the rest."""
    return not kind_of(error).public


def describe(error: BaseException, request_id: str) -> ProblemDetail:
    """The problem as the client is told of it; where that is all, its traceback is dropped."""
    kind = kind_of(error)
    if kind.public:
        _let_go(error)
    listed: list[FieldError] = []
    if isinstance(error, ValidationError):
        listed = _field_errors(error)
        detail = _summary(listed, error.error_count())
    elif not kind.public:
        detail = INTERNAL_DETAIL
    elif isinstance(error, tree.RnnserveError):
        detail = error.message
        listed = _fields_of(error)
    else:
        detail = str(getattr(error, "detail", kind.title))
    return ProblemDetail(
        type=TYPE_PREFIX + kind.slug,
        title=kind.title,
        status=kind.status,
        detail=_clipped(detail),
        errors=[_bounded(error) for error in listed],
        request_id=request_id,
        retry_after_s=_retry_after(error),
        **_session_fields(error),
    )


def _let_go(error: BaseException | None) -> None:
    """Its traceback knows frames which know it: a whole request would stay until it is collected."""
    # Errors may be causes of each other; one that was here has no traceback.
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def as_problem(problem: Problem) -> ErrorBody:
    return ErrorBody(problem.status, problem.model_dump_json(exclude_none=True).encode(), MEDIA_TYPE)


def problem_response(error: BaseException, request_id: str, shape: ErrorShape = as_problem) -> Response:
    """The HTTP answer to a failure, in the shape of the protocol that was spoken."""
    problem = describe(error, request_id)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if problem.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(problem.retry_after_s)))
    if isinstance(error, tree.Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    answer = shape(problem)
    return Response(answer.body, answer.status, headers, media_type=answer.media_type)


def error_frame(
    error: BaseException, request_id: str, kind: type[ErrorFrame] = ErrorFrame, **more: Any
) -> ErrorFrame:
    problem = describe(error, request_id)
    fields = {name: getattr(problem, name) for name in ProblemDetail.model_fields if name != "type"}
    return kind(problem=problem.type, **fields, **more)


def _retry_after(error: BaseException) -> float | None:
    if not isinstance(error, tree.CapacityError):
        return None
    return 1.0 if error.retry_after_s is None else error.retry_after_s


def _session_fields(error: BaseException) -> dict[str, Any]:
    if isinstance(error, tree.SequenceConflict):
        return {"step": error.step, "expected": error.expected}
    if isinstance(error, tree.SessionGone):
        return {"step": error.step, "reason": error.reason, "ended_at": error.ended_at}
    return {}


def _fields_of(error: tree.RnnserveError) -> list[FieldError]:
    if isinstance(error, tree.InvalidInput):
        return [FieldError(field=error.field, message=error.message, allowed=error.allowed)]
    if isinstance(error, tree.UnknownModel):
        return [FieldError(field="model", message=error.message, allowed=list(error.available))]
    if isinstance(error, tree.PayloadTooLarge):
        allowed = {"max_bytes": error.limit_bytes}
        return [FieldError(field="body", message=error.message, allowed=allowed)]
    if isinstance(error, tree.UnsupportedMedia):
        return [FieldError(field="content-type", message=error.message, allowed=list(error.allowed))]
    return []


def _field_errors(error: ValidationError) -> list[FieldError]:
    if error.error_count() > MAX_COUNTED_ERRORS:
        # A hostile body can hold a million unknown fields; listing them would take seconds.
        return [FieldError(field="body", message=f"has more than {MAX_COUNTED_ERRORS} mistakes")]
    details = error.errors(include_url=False)[:MAX_FIELD_ERRORS]
    return [
        FieldError(
            field=".".join(str(part) for part in detail["loc"]) or "body",
            message=_message(detail),
            allowed=_allowed(detail, error.title),
        )
        for detail in details
    ]


@cache
def _known(title: str) -> list[str] | None:
    """The fields of the request that goes by this name, where only one does."""
    kinds: list[type[BaseModel]] = [Request]
    for kind in kinds:
        kinds += kind.__subclasses__()
    named = [kind for kind in kinds if kind.__name__ == title]
    return [*named[0].model_fields] if len(named) == 1 else None


def _clipped(text: str) -> str:
    """The beginning and the end, where the reason stands, of a text that is too long."""
    if len(text) <= MAX_TOLD_CHARS:
        return text
    end = MAX_TOLD_CHARS // 4
    return f"{text[: MAX_TOLD_CHARS - end - 1]}\N{HORIZONTAL ELLIPSIS}{text[-end:]}"


def _bounded(error: FieldError) -> FieldError:
    allowed = error.allowed
    if isinstance(allowed, str):
        allowed = _clipped(allowed)
    elif isinstance(allowed, list | tuple):
        sizes = accumulate(len(str(choice)) for choice in allowed)
        allowed = [choice for choice, size in zip(allowed, sizes, strict=True) if size <= MAX_TOLD_CHARS]
    return FieldError(field=_clipped(error.field), message=_clipped(error.message), allowed=allowed)


def _message(detail: ErrorDetails) -> str:
    if detail["type"] == "json_invalid":
        text = f"the body is not JSON: {detail.get('ctx', {}).get('error', detail['msg'])}"
        return f"{text}; JSON is written in UTF-8" if "unicode code point" in text else text
    if detail["type"] == "model_type":
        return "the body should be a JSON object"
    return in_words(detail)


_LIMIT_NAMES = {
    "ge": "min",
    "gt": "more_than",
    "le": "max",
    "lt": "less_than",
    "min_length": "min_length",
    "max_length": "max_length",
}


def _allowed(detail: ErrorDetails, title: str) -> Any:
    context = detail.get("ctx", {})
    if detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1:
        return _known(title)
    if detail["type"] == "literal_error":
        return context.get("expected")
    limits = {name: context[key] for key, name in _LIMIT_NAMES.items() if key in context}
    return limits or None


def _summary(listed: list[FieldError], count: int) -> str:
    first = listed[0]
    more = "" if count == 1 or count > MAX_COUNTED_ERRORS else f"; and {count - 1} more"
    return f"{first.field}: {first.message}{more}"
