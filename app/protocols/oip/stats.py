"""``/v2/models/stats``: Triton's statistics, of the requests that this process got under ``/v2``."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.bundle.manifest import Manifest
from app.edge.edge import edge_of
from app.edge.http.routing import json_response
from app.protocols.oip.counts import Duration, ModelCounts
from app.protocols.oip.router import ModelPath, VersionPath, tensors_of
from app.protocols.oip.routing import ERRORS, OipRoute
from app.protocols.oip.stats_schema import DurationStat, InferenceStats, ModelStats, Statistics

router = APIRouter(route_class=OipRoute, tags=["open inference protocol"])


@router.get("/v2/models/stats", response_model=Statistics, responses=ERRORS)
async def all_stats(request: Request) -> Response:
    """The counts of every model version that is served."""
    return _stats(request, [one.manifest for one in edge_of(request).service.deployments.values()])


@router.get("/v2/models/{model}/stats", response_model=Statistics, responses=ERRORS)
async def model_stats(request: Request, model: ModelPath) -> Response:
    """The counts of every version of a model."""
    name = tensors_of(request).find(model, None).manifest.name
    served = [one.manifest for one in edge_of(request).service.deployments.values()]
    return _stats(request, [one for one in served if one.name == name])


@router.get("/v2/models/{model}/versions/{version}/stats", response_model=Statistics, responses=ERRORS)
async def version_stats(request: Request, model: ModelPath, version: VersionPath) -> Response:
    """The counts of one version of a model."""
    return _stats(request, [tensors_of(request).find(model, version).manifest])


def _stats(request: Request, manifests: list[Manifest]) -> Response:
    service = tensors_of(request)
    return json_response(
        Statistics(model_stats=[_shown(one, service.counts(one.reference)) for one in manifests])
    )


def _shown(manifest: Manifest, counts: ModelCounts) -> ModelStats:
    none = DurationStat(count=0, ns=0)
    return ModelStats(
        name=manifest.name,
        version=manifest.version,
        last_inference=int(counts.last_at * 1e3),
        inference_count=counts.rows,
        execution_count=counts.success.count,
        inference_stats=InferenceStats(
            success=_duration(counts.success),
            fail=_duration(counts.fail),
            queue=_duration(counts.queue),
            compute_input=none,
            compute_infer=_duration(counts.compute),
            compute_output=none,
            cache_hit=none,
            cache_miss=none,
        ),
        batch_stats=[],
    )


def _duration(duration: Duration) -> DurationStat:
    return DurationStat(count=duration.count, ns=int(duration.seconds * 1e9))
