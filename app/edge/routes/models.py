"""``GET /models`` and ``GET /models/{name}``: what is served, and the public part of the manifests."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from app.bundle.manifest import Manifest
from app.core.errors import UnknownModel
from app.edge.edge import Edge, edge_of
from app.edge.http.routing import PROBLEMS, BytesRoute, json_response
from app.edge.routes.models_schema import ModelDetail, ModelList, ModelSummary, QualityFigure
from app.service.catalog import Deployment
from app.service.model_control import ModelState

ModelPath = Annotated[str, Path(description="`name`, `name@version` or `name@label`")]

router = APIRouter(route_class=BytesRoute, tags=["models"])


@router.get("/models", response_model=ModelList)
async def list_models(request: Request) -> Response:
    """Every model version, served or not."""
    return json_response(model_list(edge_of(request)))


@router.get("/models/{name}", response_model=ModelDetail, responses={404: PROBLEMS[404]})
async def get_model(request: Request, name: ModelPath) -> Response:
    """One served model, by `name` (the version that most requests get), `name@version` or `name@label`."""
    edge = edge_of(request)
    catalog = edge.service.catalog
    found = catalog.base(name)
    if found is None:
        raise UnknownModel(name, tuple(catalog.deployments))
    manifest = found.manifest
    served = [one.manifest for one in catalog.deployments.values()]
    versions = [one.version for one in reversed(served) if one.name == manifest.name]
    (state,) = [one for one in _states(edge) if one.reference == manifest.reference]
    return json_response(_detail(found, state, versions, edge))


def model_list(edge: Edge) -> ModelList:
    deployments = edge.service.catalog.deployments
    return ModelList(
        models=[
            ModelSummary(**_summary(state, deployments[state.reference].manifest, edge))
            if state.status == "ready"
            else ModelSummary(**_standing(state))
            for state in _states(edge)
        ]
    )


def _states(edge: Edge) -> list[ModelState]:
    if edge.models is not None:
        return edge.models.index()
    catalog = edge.service.catalog
    return [
        ModelState(one.manifest.name, one.manifest.version, "ready", None, (), catalog.traffic(one))
        for one in catalog.deployments.values()
    ]


def _standing(state: ModelState) -> dict[str, Any]:
    return {
        "name": state.name,
        "version": state.version,
        "status": state.status,
        "reason": state.reason,
        "labels": list(state.labels),
        "traffic": state.traffic,
    }


def _summary(state: ModelState, manifest: Manifest, edge: Edge) -> dict[str, Any]:
    return _standing(state) | {
        "task": manifest.task,
        "cell": manifest.network.cell,
        "description": manifest.description,
        "default": edge.service.catalog.defaults.get(manifest.task) == manifest.reference,
    }


def _detail(found: Deployment, state: ModelState, versions: list[str], edge: Edge) -> ModelDetail:
    manifest = found.manifest
    common = {
        "max_body_bytes": edge.limits.max_body_bytes,
        "request_timeout_s": edge.limits.request_timeout_s,
    }
    return ModelDetail(
        **_summary(state, manifest, edge),
        versions=versions,
        network=manifest.network.model_dump(exclude_none=True),
        inputs=dict(found.model.inputs),
        limits=common | found.model.limits,
        state=manifest.row.model_dump(),
        quality=[QualityFigure(**figure.model_dump()) for figure in manifest.quality],
        provenance=manifest.provenance.model_dump(exclude_none=True),
    )
