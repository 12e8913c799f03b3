"""``POST /generate``: a prompt in; the whole text, or server-sent events, out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.requests import Request
from starlette.responses import Response

from app.edge.docs import examples
from app.edge.docs.events import GENERATION, RESUMING
from app.edge.edge import edge_of, request_id_of
from app.edge.http.event_stream import EventStream, last_event_id
from app.edge.http.routing import PROBLEMS, TaskRoute, json_response
from app.tasks.generate.schema import GenerateAnswer, GenerateRequest


class GenerateRoute(TaskRoute):
    """Refuses early."""

    task = "generate"


router = APIRouter(route_class=GenerateRoute, tags=["inference"])


@router.post(
    "/generate",
    response_model=GenerateAnswer,
    responses=PROBLEMS | GENERATION,
    openapi_extra=RESUMING,
)
async def generate(
    body: Annotated[GenerateRequest, Body(openapi_examples=examples.GENERATE)], request: Request
) -> Response:
    """Continue a prompt. The seed is always reported, and repeats the text."""
    edge = edge_of(request)
    if body.stream:
        point = last_event_id(request)
        if point is not None and point.given is None:
            # It has everything; this status tells an EventSource not to come again.
            return Response(status_code=204)
        stream = edge.service.stream_generate(body, point)
        return EventStream(stream, edge.limits.socket_send_s, request_id_of(request))
    answer, timing = await edge.service.generate(body)
    return json_response(answer, timing)
