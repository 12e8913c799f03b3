"""``/models``: what is served, the public part of the manifests; ``/admin/models``: what changes it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from app.bundle.manifest import Manifest
from app.core.errors import UnknownModel
from app.core.schema import Answer
from app.edge.edge import Edge, edge_of
from app.edge.http.routing import PROBLEMS, BytesRoute, json_response
from app.service.model_control import ModelState, ModelStatus

NamePath = Annotated[str, Path(description="the model's name, without a version")]
ModelPath = Annotated[str, Path(description="`name`, `name@version` or `name@label`")]

router = APIRouter(route_class=BytesRoute, tags=["models"])
admin_router = APIRouter(route_class=BytesRoute, prefix="/admin/models", tags=["administration"])

_TROUBLE: dict[int | str, dict[str, Any]] = {
    404: PROBLEMS[404],
    409: {**PROBLEMS[422], "description": "no version of it can be served"},
    504: PROBLEMS[504],
}


class ModelSummary(Answer):
    """One model version. Only ready ones answer requests, and say what they are."""

    name: str
    version: str
    status: ModelStatus = Field(
        "ready",
        description="loading: being verified; ready; broken: failed verification; draining: takes no new "
        "requests; unloaded: not served",
    )
    reason: str | None = Field(None, description="why it is not ready; or what is wrong with its replacement")
    labels: list[str] = Field([], description="it is also asked by these, name@label")
    traffic: float = Field(
        0.0, description="share, 0 to 1, of the requests that name the model but no version"
    )
    loaded: bool | None = Field(
        None,
        description="on a server that loads models on demand: whether it is in memory",
        exclude_if=lambda loaded: loaded is None,
    )
    task: str | None = None
    cell: Literal["rnn", "lstm", "gru"] | None = None
    description: str | None = None
    default: bool = Field(False, description="whether requests of its task that name no model go here")


class ModelList(Answer):
    """Every model version that is served, or lies where models are looked for."""

    models: list[ModelSummary]


class QualityFigure(Answer):
    """A measured figure and the baselines measured beside it."""

    metric: str
    dataset: str
    split: str
    value: float
    higher_is_better: bool
    baselines: dict[str, float]
    references: dict[str, float]


class ModelDetail(ModelSummary):
    """What a caller needs to know of one model."""

    versions: list[str] = Field(description="versions of this name that are served, newest first")
    network: dict[str, Any] = Field(description="layers, hidden size, parameters")
    inputs: dict[str, Any] = Field(description="the task's own terms: horizon, frequencies, labels, unit")
    limits: dict[str, Any] = Field(description="what a request to this model may ask for")
    state: dict[str, Any] = Field(description="size and named fields of the state row")
    quality: list[QualityFigure]
    provenance: dict[str, Any]


@router.get("/models", response_model=ModelList)
async def list_models(request: Request) -> Response:
    """Every model version, served or not."""
    return json_response(model_list(edge_of(request)))


@router.get("/models/{name}", response_model=ModelDetail, responses={404: PROBLEMS[404]})
async def describe_model(request: Request, name: ModelPath) -> Response:
    """One served model, by `name` (the version that most requests get), `name@version` or `name@label`."""
    edge = edge_of(request)
    catalog = edge.service.catalog
    found = catalog.base(name)
    if found is None:
        raise UnknownModel(name, tuple(catalog.deployments))
    manifest = found.manifest
    versions = [each.manifest.version for each in reversed(catalog.versions(manifest.name))]
    model = await found.loaded()
    (state,) = [state for state in edge.models.index() if state.reference == manifest.reference]
    return json_response(_detail(manifest, model, state, versions, edge))


@admin_router.post("/reload", response_model=ModelList, responses={504: PROBLEMS[504]})
async def reload_models(request: Request) -> Response:
    """Look for new, changed and removed bundles and labels now; answers when they are served or refused."""
    edge = edge_of(request)
    await edge.models.reload()
    return json_response(model_list(edge))


@admin_router.post("/{name}/load", response_model=ModelList, responses=_TROUBLE)
async def load_model(request: Request, name: NamePath) -> Response:
    """Serve what there is of a model; undoes `unload`, and tries broken bundles again."""
    edge = edge_of(request)
    await edge.models.load(name)
    return json_response(model_list(edge))


@admin_router.post(
    "/{name}/unload", response_model=ModelList, responses={status: _TROUBLE[status] for status in (404, 504)}
)
async def unload_model(request: Request, name: NamePath) -> Response:
    """Serve no version of a model until it is loaded again, or the server starts anew."""
    edge = edge_of(request)
    await edge.models.unload(name)
    return json_response(model_list(edge))


def model_list(edge: Edge) -> ModelList:
    deployments = edge.service.catalog.deployments
    return ModelList(
        models=[
            ModelSummary(**_summary(state, deployments[state.reference].manifest, edge))
            if state.status == "ready"
            else ModelSummary(**asdict(state))
            for state in edge.models.index()
        ]
    )


def _summary(state: ModelState, manifest: Manifest, edge: Edge) -> dict[str, Any]:
    return asdict(state) | {
        "task": manifest.task,
        "cell": manifest.network.cell,
        "description": manifest.description,
        "default": edge.service.catalog.defaults.get(manifest.task) == manifest.reference,
    }


def _detail(
    manifest: Manifest, model: Any, state: ModelState, versions: list[str], edge: Edge
) -> ModelDetail:
    common = {
        "max_body_bytes": edge.limits.max_body_bytes,
        "request_timeout_s": edge.limits.request_timeout_s,
    }
    return ModelDetail(
        **_summary(state, manifest, edge),
        versions=versions,
        network=manifest.network.model_dump(exclude_none=True),
        inputs=dict(model.inputs),
        limits=common | model.limits,
        state=manifest.row.model_dump(),
        quality=[QualityFigure(**figure.model_dump()) for figure in manifest.quality],
        provenance=manifest.provenance.model_dump(exclude_none=True),
    )
