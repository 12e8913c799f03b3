"""What an administrator does to models while the server runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.edge.edge import Edge, edge_of
from app.edge.http.routing import PROBLEMS, BytesRoute, json_response
from app.edge.routes.models import model_list
from app.edge.routes.models_schema import ModelList
from app.service.model_control import ModelControl

NamePath = Annotated[str, Path(description="the model's name, without a version")]

router = APIRouter(route_class=BytesRoute, prefix="/admin/models", tags=["administration"])

_TROUBLE: dict[int | str, dict[str, Any]] = {
    404: PROBLEMS[404],
    409: {**PROBLEMS[422], "description": "no version of it can be served"},
    504: PROBLEMS[504],
}


@router.post("/reload", response_model=ModelList, responses={504: PROBLEMS[504]})
async def reload_models(request: Request) -> Response:
    """Look for new, changed and removed bundles and labels now; answers when they are served or refused."""
    edge = edge_of(request)
    await _control(edge).reload()
    return json_response(model_list(edge))


@router.post("/{name}/load", response_model=ModelList, responses=_TROUBLE)
async def load_model(request: Request, name: NamePath) -> Response:
    """Serve what there is of a model; undoes `unload`, and tries broken bundles again."""
    edge = edge_of(request)
    await _control(edge).load(name)
    return json_response(model_list(edge))


@router.post(
    "/{name}/unload", response_model=ModelList, responses={status: _TROUBLE[status] for status in (404, 504)}
)
async def unload_model(request: Request, name: NamePath) -> Response:
    """Serve no version of a model until it is loaded again, or the server starts anew."""
    edge = edge_of(request)
    await _control(edge).unload(name)
    return json_response(model_list(edge))


def _control(edge: Edge) -> ModelControl:
    if edge.models is None:
        raise HTTPException(404, "what this server serves does not change")
    return edge.models
