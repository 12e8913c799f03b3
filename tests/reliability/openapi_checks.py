"""What schemathesis checks here beyond its own checks, and the names that it is told; loaded by its command.

Its own compare status, content type and schema with the document. These look at what a document
cannot say: failures inside of answers with status 200, and what an answer must never hold.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import schemathesis
from schemathesis.core.failures import Failure

from app.edge.errors import INTERNAL, KINDS, TYPE_PREFIX
from tests.reliability.meaning import CSV, MEANING, number_of

NAMES = "FUZZ_NAMES"
"""Variable with the names there are, as JSON; see :func:`tests.reliability.fuzz.prepare`."""

_SERVER_ERROR = 500
_LATER = {429, 503, 504}
_HEADER_LENGTH = "Inference-Header-Content-Length"
_CHANGING = ("/admin/", "/v2/repository/")
# What Python, our modules, the libraries below and this machine's folders would look like.
_LEAK = re.compile(
    r"Traceback|File \"|, line \d+"
    r"|\bapp\.(?:api|core|service|engine|runtime|tasks|sessions|schemas|bundle|registry|telemetry)\b"
    r"|site-packages|\.py\b|/tmp/|/home/|/usr/|<class |object at 0x|<function |errors\.pydantic\.dev"
    r"|\b(?:pydantic|starlette|fastapi|uvicorn|numpy|orjson|asyncio|redis|lmdb|sqlite)\b|\[ONNXRuntimeError\]"
    r"|(?:Key|Value|Type|Attribute|Index|Runtime|Assertion|Unicode|Overflow|Recursion|Memory|Zero)\w*Error\b"
)
_names: dict[str, Any] = json.loads(os.environ.get(NAMES, "{}"))


class UnexpectedAnswer(Failure):
    """An answer that no document allows."""

    __slots__ = ()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Three good requests in four name what exists, and get what a schema cannot say; see ``meaning.py``.

    Done here and not while they are made up, where equal requests are thrown away.
    """
    if not _names:
        return
    _spare_the_others(case)
    if case.method == "OPTIONS" or _is_left_alone(case):
        return
    path, body = case.operation.path, case.body
    for name, value in case.path_parameters.items():
        case.path_parameters[name] = _existing(case.operation, name, value)
    if path in MEANING and isinstance(body, dict) and number_of(body) % 4:
        case.query.clear()
        case.headers.pop(_HEADER_LENGTH, None)
        case.body = MEANING[path](body, case.path_parameters)
    elif path == "/forecast" and isinstance(body, str) and number_of(body) % 4:
        case.query.clear()
        case.query["horizon"] = 3
        case.body = CSV


@schemathesis.check
def every_answer_has_its_id(ctx: Any, response: Any, case: Any) -> None:
    """The id to look for in the log, and the header against guessing what an answer is."""
    if not response.headers.get("x-request-id"):
        raise _unexpected(case, "no X-Request-ID")
    if response.headers.get("x-content-type-options") != ["nosniff"]:
        raise _unexpected(case, "no X-Content-Type-Options: nosniff")


@schemathesis.check
def refusals_say_when_to_come_again(ctx: Any, response: Any, case: Any) -> None:
    """429, 503 and 504 have ``Retry-After``."""
    if response.status_code in _LATER and not response.headers.get("retry-after"):
        raise _unexpected(case, f"{response.status_code} without Retry-After")


@schemathesis.check
def problems_are_of_a_known_type(ctx: Any, response: Any, case: Any) -> None:
    """A problem document repeats its status, names a type of docs/api.md, and has the answer's id."""
    if "application/problem+json" not in _media_type(response):
        return
    problem = response.json()
    if problem["status"] != response.status_code:
        raise _unexpected(case, f"status {response.status_code} with a problem of {problem['status']}")
    slug = problem["type"].removeprefix(TYPE_PREFIX)
    if slug not in _SLUGS or slug == INTERNAL.slug:
        raise _unexpected(case, f"a problem of type {slug!r}")
    if [problem["request_id"]] != response.headers["x-request-id"]:
        raise _unexpected(case, "a problem with another request's id")


@schemathesis.check
def no_failure_inside(ctx: Any, response: Any, case: Any) -> None:
    """No part of an answer, and no event of a stream, reports a failure of the server."""
    for document in _documents(response):
        for status in _statuses(document):
            if status >= _SERVER_ERROR and status not in _LATER:
                raise _unexpected(case, f"an answer with status {response.status_code} reports {status}")


@schemathesis.check
def streams_are_whole(ctx: Any, response: Any, case: Any) -> None:
    """A stream of events ends as its protocol says, and every event is JSON."""
    if "text/event-stream" not in _media_type(response):
        return
    events = _events(response)
    if case.operation.path.startswith("/v1/"):
        last = events[-1] if events else ""
        whole = last == "[DONE]" or "error" in (told := json.loads(last)) or told["type"].endswith(".done")
    else:
        whole = bool(events) and json.loads(events[-1])["type"] in ("done", "error")
    if not whole:
        raise _unexpected(case, f"a stream ends with {events[-1:]}")


@schemathesis.check
def nothing_leaks(ctx: Any, response: Any, case: Any) -> None:
    """No traceback, path, module or library of the server in what reports a failure."""
    shown = [response.text] if response.status_code >= 400 else []
    shown += [json.dumps(one) for one in _documents(response) if any(_statuses(one))]
    for text in shown:
        if found := _LEAK.search(text):
            raise _unexpected(case, f"an answer with {found[0]!r}: {text[:300]}")


_SLUGS = {kind.slug for kind in KINDS.values()} | {"not-found", "method-not-allowed", "refused"}


def _existing(operation: Any, name: str, value: Any) -> Any:
    if operation.path.startswith(_CHANGING):
        return _choose([_names["spare"]], value)
    if operation.method == "delete":
        return _choose(_names["spare_sessions"], value)
    kinds = {"id": "sessions", "model": "models", "name": "models"}
    if name == "version":
        return _choose(["1"], value)
    return _choose(_names[kinds[name]], value) if name in kinds else value


def _spare_the_others(case: Any) -> None:
    """Nothing that other requests need is unloaded or deleted."""
    path, given = case.operation.path, case.path_parameters
    for name in given if path.startswith(_CHANGING) else ():
        if given[name] in _names["models"]:
            given[name] = _names["spare"]
    if case.headers.get(_HEADER_LENGTH) == "0":
        # It makes any body a good one: all of it is a tensor's data.
        case.headers.pop(_HEADER_LENGTH)
    if case.operation.method == "delete" and given.get("id") in _names["sessions"]:
        given["id"] = "nobody"


def _is_left_alone(case: Any) -> bool:
    """A request that is meant to be bad, or one whose ids come from an answer."""
    meta = case.meta
    return (
        meta is None
        or meta.phase.name == "stateful"
        or any(part.mode.is_negative for part in meta.components.values())
    )


def _choose(among: list[str], value: Any) -> Any:
    """One of them, or the value as it was."""
    number = number_of(value)
    return value if number % 4 == 0 else among[number // 4 % len(among)]


def _unexpected(case: Any, message: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(operation=case.operation.label, title="Unexpected answer", message=message)


def _media_type(response: Any) -> str:
    return str((response.headers.get("content-type") or [""])[0])


def _events(response: Any) -> list[str]:
    lines = response.text.splitlines()
    return [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]


def _documents(response: Any) -> Iterator[Any]:
    """Every JSON document in an answer."""
    media_type = _media_type(response)
    if "text/event-stream" in media_type:
        for event in _events(response):
            if event != "[DONE]":
                yield json.loads(event)
    elif "json" in media_type:
        yield response.json()


def _statuses(document: Any) -> Iterator[int]:
    """The status of each problem or error frame within a document."""
    if isinstance(document, dict):
        kind = document.get("problem", document.get("type"))
        if isinstance(kind, str) and kind.startswith(TYPE_PREFIX):
            yield int(document["status"])
        for value in document.values():
            yield from _statuses(value)
    elif isinstance(document, list):
        for value in document:
            yield from _statuses(value)
