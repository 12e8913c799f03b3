"""``POST /sessions/{id}/steps`` and ``POST /sessions/steps``: events of one session, or of many."""

from __future__ import annotations

import logging
from typing import Annotated

import orjson
from fastapi import APIRouter, Body
from starlette.requests import Request
from starlette.responses import Response

from app.core.errors import RnnserveError
from app.edge.docs import session_examples as examples
from app.edge.edge import known, owner_of, request_id_of, sessions_of
from app.edge.errors import describe, is_internal
from app.edge.http.routing import BytesRoute, bytes_response
from app.edge.routes.sessions import SESSION_PROBLEMS, SessionPath
from app.sessions.schema import StepAnswer, StepRequest, StepsAnswer, StepsRequest
from app.sessions.steps.calls import StepCall, StepClock

logger = logging.getLogger(__name__)

router = APIRouter(route_class=BytesRoute, tags=["sessions"])


@router.post("/sessions/steps", response_model=StepsAnswer, responses=SESSION_PROBLEMS)
async def many(
    body: Annotated[StepsRequest, Body(openapi_examples=examples.MANY_STEPS)], request: Request
) -> Response:
    """Events of many sessions in one request, each answered on its own, in the order of the calls."""
    calls = [StepCall(step.id, step.inputs, step.seq) for step in body.steps]
    clock = StepClock()
    outcomes = await sessions_of(request).service.steps(calls, owner_of(request), clock)
    request_id = request_id_of(request)
    results = [_result(call, outcome, request_id) for call, outcome in zip(calls, outcomes, strict=True)]
    answer = orjson.dumps({"results": list(map(orjson.Fragment, results))})
    return bytes_response(answer, clock.timing())


@router.post("/sessions/{id}/steps", response_model=StepAnswer, responses=SESSION_PROBLEMS)
async def one(
    body: Annotated[StepRequest, Body(openapi_examples=examples.STEP)], request: Request, id: SessionPath
) -> Response:
    """Apply one event or several as one: whole or not at all, and with `seq` exactly once."""
    call = StepCall(known(id), body.inputs, body.seq)
    clock = StepClock()
    (outcome,) = await sessions_of(request).service.steps([call], owner_of(request), clock)
    if isinstance(outcome, RnnserveError):
        raise outcome
    return bytes_response(outcome, clock.timing())


def named(id: str, answer: bytes, opening: bytes = b"{") -> bytes:
    """An answer's JSON object with the session's id put in front of its fields."""
    return opening + b'"id":' + orjson.dumps(id) + b"," + answer[1:]


def _result(call: StepCall, outcome: bytes | RnnserveError, request_id: str) -> bytes:
    if isinstance(outcome, bytes):
        return named(call.id, outcome)
    if is_internal(outcome):
        logger.error("a step of session %s failed", call.id, exc_info=outcome)
    problem = describe(outcome, request_id)
    fields = {"seq": call.seq} if call.seq is not None else {}
    return named(
        call.id, orjson.dumps(fields | {"error": problem.model_dump(mode="json", exclude_none=True)})
    )
