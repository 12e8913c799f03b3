"""``/v2/models/stats``: Triton's statistics, of the requests that this process got under ``/v2``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from app.bundle.manifest import Manifest
from app.core.schema import Answer
from app.edge.edge import edge_of
from app.edge.http.routing import json_response
from app.protocols.oip.router import found, manifests_of, tensors_of
from app.protocols.oip.routing import ERRORS, ModelPath, OipRoute, by_version


class DurationStat(Answer):
    """How often, and how many nanoseconds in all."""

    count: int
    ns: int


class InferenceStats(Answer):
    """Where the time of the requests went; what is not told apart here is always zero."""

    success: DurationStat
    fail: DurationStat
    queue: DurationStat = Field(description="until the first run of the network; of sequences not known")
    compute_input: DurationStat
    compute_infer: DurationStat = Field(description="in runs of the network; of sequences not known")
    compute_output: DurationStat
    cache_hit: DurationStat
    cache_miss: DurationStat


class ModelStats(Answer):
    """Of one model version."""

    name: str
    version: str
    last_inference: int = Field(
        description="end of the last request, milliseconds since the epoch; 0 before it"
    )
    inference_count: int = Field(description="rows answered")
    execution_count: int = Field(description="requests answered")
    inference_stats: InferenceStats
    batch_stats: list[Any]


class Statistics(Answer):
    """Of the versions asked for."""

    model_stats: list[ModelStats]


router = APIRouter(route_class=OipRoute, tags=["open inference protocol"])


@router.get("/v2/models/stats", response_model=Statistics, responses=ERRORS)
async def all_stats(request: Request) -> Response:
    """The counts of every model version that is served."""
    return _stats(request, manifests_of(edge_of(request)))


@by_version(router, "GET", "stats", response_model=Statistics)
async def model_stats(request: Request, model: ModelPath) -> Response:
    """The counts of every version of a model, or of one."""
    manifest = found(request).manifest
    if "version" in request.path_params:
        return _stats(request, [manifest])
    return _stats(request, [one for one in manifests_of(edge_of(request)) if one.name == manifest.name])


def _stats(request: Request, manifests: list[Manifest]) -> Response:
    return json_response(Statistics(model_stats=[_shown(request, manifest) for manifest in manifests]))


def _shown(request: Request, manifest: Manifest) -> ModelStats:
    model = tensors_of(request).counts(manifest.reference)
    durations = {
        name: DurationStat(count=model.counts.get(name, 0), ns=int(model.seconds.get(name, 0.0) * 1e9))
        for name in InferenceStats.model_fields
    }
    return ModelStats(
        name=manifest.name,
        version=manifest.version,
        last_inference=int(model.last_at * 1e3),
        inference_count=model.rows,
        execution_count=durations["success"].count,
        inference_stats=InferenceStats(**durations),
        batch_stats=[],
    )
