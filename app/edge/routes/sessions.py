"""``/sessions``: look, list, fork, migrate and close."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path
from starlette.requests import Request
from starlette.responses import Response

from app.edge.docs import session_examples as examples
from app.edge.edge import known, owner_of, sessions_of
from app.edge.http.routing import PROBLEMS, BytesRoute, json_response, query_of
from app.sessions.schema import (
    ForkRequest,
    MigrateRequest,
    PageQuery,
    SessionInfo,
    SessionPage,
)

SessionPath = Annotated[str, Path(description="the session's id")]

SESSION_PROBLEMS = PROBLEMS | {
    status: {**PROBLEMS[422], "description": text}
    for status, text in (
        (404, "no such session or model"),
        (409, "another step is due, or the id is taken: `step` and `expected` say what is held"),
        (410, "the session has ended: `reason`, `ended_at` and `step` say why, when and where"),
        (412, "the session belongs to a model version that does not answer here"),
        (429, "the caller has as many sessions as it may"),
        (500, "the step would have spoilt the state, or the stored session is damaged"),
        (503, "busy, full, shutting down, or the store does not answer; see Retry-After"),
    )
}

router = APIRouter(route_class=BytesRoute, tags=["sessions"])


@router.get(
    "/sessions",
    response_model=SessionPage,
    responses=SESSION_PROBLEMS,
    openapi_extra={
        "parameters": [
            {
                "name": "after",
                "in": "query",
                "schema": {"type": "string", "maxLength": 128},
                "description": "`next` of the page before",
            },
            {
                "name": "limit",
                "in": "query",
                "schema": {"type": "integer", "default": 100, "minimum": 1, "maximum": 2**31 - 1},
            },
        ]
    },
)
async def page(request: Request) -> Response:
    """Open sessions in the order of their ids, a page at a time."""
    query = query_of(request, PageQuery)
    return json_response(await sessions_of(request).service.page(query.after, query.limit, owner_of(request)))


@router.get("/sessions/{id}", response_model=SessionInfo, responses=SESSION_PROBLEMS)
async def view(request: Request, id: SessionPath) -> Response:
    """One session, without its state."""
    return json_response(await sessions_of(request).service.view(known(id), owner_of(request)))


@router.delete("/sessions/{id}", status_code=204, responses=SESSION_PROBLEMS)
async def close(request: Request, id: SessionPath) -> Response:
    """End a session. For a while its id answers 410, so that others learn what became of it."""
    await sessions_of(request).service.close(known(id), owner_of(request))
    return Response(status_code=204)


@router.post("/sessions/{id}/fork", status_code=201, response_model=SessionInfo, responses=SESSION_PROBLEMS)
async def fork(
    body: Annotated[ForkRequest, Body(openapi_examples=examples.FORK)], request: Request, id: SessionPath
) -> Response:
    """An independent copy of the present state, under an id of its own."""
    info = await sessions_of(request).service.fork(known(id), body, owner_of(request))
    return json_response(info, status=201, location=f"/sessions/{info.id}")


@router.post("/sessions/{id}/migrate", response_model=SessionInfo, responses=SESSION_PROBLEMS)
async def migrate(body: MigrateRequest, request: Request, id: SessionPath) -> Response:
    """Go on with another version of the model, when its rows mean the same."""
    history = sessions_of(request).service.history
    return json_response(await history.migrate(known(id), body.model, owner_of(request)))
