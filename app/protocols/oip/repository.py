"""``/v2/repository``: which models there are, and loading and unloading them."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.core.errors import InvalidInput
from app.edge.edge import edge_of
from app.edge.http.routing import bytes_response
from app.edge.openapi import OPTIONAL_BODY
from app.protocols.oip.routing import ERRORS, ModelPath, OipRoute
from app.protocols.oip.schema import IndexEntry, IndexRequest, RepositoryRequest
from app.service.model_control import ModelStatus

_STATES: dict[ModelStatus, str] = {
    "ready": "READY",
    "loading": "LOADING",
    "draining": "UNLOADING",
    "broken": "UNAVAILABLE",
    "unloaded": "UNAVAILABLE",
}

_COLD = "not in memory; the first request loads it"

_CHANGE: dict[str, Any] = {
    # An answer without a body; the class that FastAPI takes unless told otherwise would document JSON.
    "response_class": Response,
    "responses": ERRORS,
    "openapi_extra": OPTIONAL_BODY,
}

router = APIRouter(route_class=OipRoute, tags=["open inference protocol"])


@router.post(
    "/v2/repository/index", response_model=list[IndexEntry], responses=ERRORS, openapi_extra=OPTIONAL_BODY
)
async def list_repository(body: IndexRequest, request: Request) -> Response:
    """Every version of every model, and whether it answers requests."""
    entries = [
        {
            "name": state.name,
            "version": state.version,
            "state": _STATES[state.status],
            "reason": state.reason or (_COLD if state.loaded is False else ""),
        }
        for state in edge_of(request).models.index()
        if state.status == "ready" or not body.ready
    ]
    return bytes_response(orjson.dumps(entries))


@router.post("/v2/repository/models/{model}/load", **_CHANGE)
async def load_in_repository(body: RepositoryRequest, request: Request, model: ModelPath) -> Response:
    """Look for versions of a model now, and serve them."""
    for name in body.parameters:
        if name == "config" or name.startswith("file:"):
            raise InvalidInput(
                f"parameters.{name}", "a model is loaded from its bundle alone, with the manifest in it"
            )
    await edge_of(request).models.load(model)
    return Response(status_code=200)


@router.post("/v2/repository/models/{model}/unload", **_CHANGE)
async def unload_in_repository(body: RepositoryRequest, request: Request, model: ModelPath) -> Response:
    """Serve no version of a model until it is loaded again."""
    await edge_of(request).models.unload(model)
    return Response(status_code=200)
