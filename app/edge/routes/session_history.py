"""``/sessions/{id}/snapshots`` and ``/rewind``: keep states, and go back to them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.requests import Request
from starlette.responses import Response

from app.edge.docs import session_examples as examples
from app.edge.edge import known, owner_of, sessions_of
from app.edge.http.routing import BytesRoute, json_response
from app.edge.routes.sessions import SESSION_PROBLEMS, SessionPath
from app.sessions.schema import RewindRequest, SessionInfo, SnapshotInfo, SnapshotList, SnapshotRequest

router = APIRouter(route_class=BytesRoute, tags=["sessions"])


@router.post(
    "/sessions/{id}/snapshots", status_code=201, response_model=SnapshotInfo, responses=SESSION_PROBLEMS
)
async def snapshot(body: SnapshotRequest, request: Request, id: SessionPath) -> Response:
    """Keep the present state under a name."""
    info = await sessions_of(request).service.history.snapshot(known(id), body.name, owner_of(request))
    return json_response(info, status=201)


@router.get("/sessions/{id}/snapshots", response_model=SnapshotList, responses=SESSION_PROBLEMS)
async def snapshots(request: Request, id: SessionPath) -> Response:
    """The kept states, oldest first; automatic ones make room for new ones, named ones stay."""
    history = sessions_of(request).service.history
    return json_response(await history.snapshots(known(id), owner_of(request)))


@router.post("/sessions/{id}/rewind", response_model=SessionInfo, responses=SESSION_PROBLEMS)
async def rewind(
    body: Annotated[RewindRequest, Body(openapi_examples=examples.REWIND)], request: Request, id: SessionPath
) -> Response:
    """Go back to a kept state, by its name or its step; 0 is the start."""
    history = sessions_of(request).service.history
    return json_response(await history.rewind(known(id), body.to, owner_of(request)))
