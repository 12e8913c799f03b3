"""``GET /models`` and ``GET /models/{name}``: the public part of the manifests."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api.edge import Edge, edge_of
from app.api.routing import PROBLEMS, BytesRoute, json_response
from app.bundle.manifest import ForecastSpec, GenerateSpec, Manifest, SentimentSpec
from app.core.errors import UnknownModel
from app.schemas.limits import Limits
from app.schemas.models import ModelDetail, ModelList, ModelSummary, QualityFigure

router = APIRouter(route_class=BytesRoute, tags=["models"])


@router.get("/models", response_model=ModelList)
async def list_models(request: Request) -> Response:
    """Every model version that is served."""
    edge = edge_of(request)
    served = [one.manifest for one in edge.service.deployments.values()]
    return json_response(ModelList(models=[ModelSummary(**_summary(manifest, edge)) for manifest in served]))


@router.get("/models/{name}", response_model=ModelDetail, responses={404: PROBLEMS[404]})
async def get_model(request: Request) -> Response:
    """One model, by `name` (its newest version) or `name@version`."""
    edge = edge_of(request)
    name = request.path_params["name"]
    deployments = edge.service.deployments
    versions = [one.manifest for one in deployments.values() if one.manifest.name == name.partition("@")[0]]
    wanted = [manifest for manifest in versions if name in (manifest.name, manifest.reference)]
    if not wanted:
        raise UnknownModel(name, tuple(deployments))
    # The registry lists versions in ascending order, so the last one is the newest.
    return json_response(_detail(wanted[-1], [one.version for one in reversed(versions)], edge))


def _summary(manifest: Manifest, edge: Edge) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "task": manifest.task,
        "cell": manifest.network.cell,
        "description": manifest.description,
        "default": edge.service.defaults.get(manifest.task) == manifest.reference,
    }


def _detail(manifest: Manifest, versions: list[str], edge: Edge) -> ModelDetail:
    return ModelDetail(
        **_summary(manifest, edge),
        versions=versions,
        network=manifest.network.model_dump(exclude_none=True),
        inputs=_inputs(manifest.spec),
        limits=_limits(manifest.spec, edge.limits),
        state=manifest.row.model_dump(),
        quality=[QualityFigure(**figure.model_dump()) for figure in manifest.quality],
        provenance=manifest.provenance.model_dump(exclude_none=True),
    )


def _inputs(spec: ForecastSpec | SentimentSpec | GenerateSpec) -> dict[str, Any]:
    if isinstance(spec, ForecastSpec):
        return {"quantiles": spec.quantiles, "frequencies": sorted(spec.frequencies), "window": spec.window}
    if isinstance(spec, SentimentSpec):
        return {"labels": spec.labels, "vocabulary": spec.vocabulary}
    return {"unit": spec.unit, "vocabulary": spec.vocabulary, "ends_by_itself": spec.end_token is not None}


def _limits(spec: ForecastSpec | SentimentSpec | GenerateSpec, limits: Limits) -> dict[str, Any]:
    common: dict[str, Any] = {
        "max_body_bytes": limits.max_body_bytes,
        "request_timeout_s": limits.request_timeout_s,
    }
    if isinstance(spec, ForecastSpec):
        own = {
            "max_horizon": spec.horizon,
            "max_series": limits.max_series,
            "max_points": limits.max_points,
        }
    elif isinstance(spec, SentimentSpec):
        own = {
            "max_texts": limits.max_texts,
            "max_text_chars": limits.max_text_chars,
            "max_text_tokens": limits.max_prompt_tokens,
        }
    else:
        own = {
            "max_prompt_chars": limits.max_text_chars,
            "max_prompt_tokens": limits.max_prompt_tokens,
            "max_tokens": limits.max_tokens,
            "max_choices": limits.max_choices,
            "max_stop": limits.max_stop,
        }
    return common | own
