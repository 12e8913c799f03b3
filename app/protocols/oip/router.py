"""``/v2`` of the Open Inference Protocol: the server, its health and statistics, and what its models read."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.bundle.manifest import Manifest
from app.edge.edge import Edge, edge_of
from app.edge.http.routing import json_response
from app.edge.routes.health import readiness
from app.protocols.oip.routing import ERRORS, ModelPath, OipRoute, by_version
from app.protocols.oip.schema import (
    DurationStat,
    InferenceStats,
    Live,
    ModelConfig,
    ModelMetadata,
    ModelReady,
    ModelStats,
    OipError,
    Ready,
    ServerMetadata,
    Statistics,
    TensorConfig,
    TensorMetadata,
)
from app.protocols.oip.service import TensorService
from app.service.catalog import Deployment
from app.tasks.tensor_table import TensorInput, TensorSpec

NAME = "rnnserve"
PLATFORM = "onnxruntime_onnx"
BACKEND = "onnxruntime"
_EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics")
_SEQUENCES = ("sequence", "sequence(string_id)")

# First come the statistics of all models: ``stats`` could be the name of one.
router = APIRouter(route_class=OipRoute, tags=["open inference protocol"])


def tensors_of(request: Request) -> TensorService:
    service: TensorService = request.app.state.tensors
    return service


def found(request: Request) -> Deployment:
    """The deployment that the path names; raises UnknownModel."""
    path = request.path_params
    return tensors_of(request).find(path["model"], path.get("version"))


def manifests_of(edge: Edge) -> list[Manifest]:
    return [deployment.manifest for deployment in edge.service.catalog.deployments.values()]


@router.get("/v2/models/stats", response_model=Statistics, responses=ERRORS)
async def count_all_models(request: Request) -> Response:
    """The counts of every model version that is served."""
    return _stats(request, manifests_of(edge_of(request)))


@by_version(router, "GET", "stats", response_model=Statistics)
async def count_model(request: Request, model: ModelPath) -> Response:
    """The counts of every version of a model, or of one."""
    manifest = found(request).manifest
    if "version" in request.path_params:
        return _stats(request, [manifest])
    versions = edge_of(request).service.catalog.versions(manifest.name)
    return _stats(request, [served.manifest for served in versions])


@router.get("/v2", response_model=ServerMetadata, responses=ERRORS)
async def describe_server(request: Request) -> Response:
    """The server, its version, and the extensions that it knows."""
    extensions = sorted((*_EXTENSIONS, *(_SEQUENCES if tensors_of(request).has_sequences else ())))
    return json_response(ServerMetadata(name=NAME, version=request.app.version, extensions=extensions))


@router.get("/v2/health/live", response_model=Live, responses=ERRORS)
async def check_liveness(request: Request) -> Response:
    """Whether the process should go on."""
    dead = [name for name, alive in edge_of(request).alive.items() if not alive()]
    return _refusal(f"the engine of {', '.join(dead)} has stopped") if dead else json_response(Live())


@router.get("/v2/health/ready", response_model=Ready, responses=ERRORS)
async def check_server_readiness(request: Request) -> Response:
    """Whether requests should be sent here."""
    readable = readiness(edge_of(request))
    return json_response(Ready()) if readable.ready else _refusal(readable.reason or "not ready")


@by_version(router, "GET", "ready", response_model=ModelReady)
async def check_model_readiness(request: Request, model: ModelPath) -> Response:
    """Whether a model answers."""
    edge, manifest = edge_of(request), found(request).manifest
    alive = edge.alive.get(manifest.reference)
    if edge.lifecycle.draining:
        return _refusal("the server is shutting down")
    if alive is None or not alive():
        return _refusal(f"the engine of {manifest.reference} has stopped")
    return json_response(ModelReady(name=manifest.name))


@by_version(router, "GET", "", response_model=ModelMetadata)
async def describe_tensors(request: Request, model: ModelPath) -> Response:
    """The tensors that a model reads and gives."""
    service, deployment = tensors_of(request), found(request)
    name, table = deployment.manifest.name, (await deployment.loaded()).tensors
    return json_response(
        ModelMetadata(
            name=name,
            versions=[each.manifest.version for each in edge_of(request).service.catalog.versions(name)],
            platform=PLATFORM,
            inputs=[_shown(spec) for spec in service.inputs(table)],
            outputs=[_shown(spec) for spec in service.outputs(table)],
            parameters=dict(table.meaning),
        )
    )


@by_version(router, "GET", "config", response_model=ModelConfig)
async def describe_configuration(request: Request, model: ModelPath) -> Response:
    """The same in the words of Triton's model configuration."""
    service, deployment = tensors_of(request), found(request)
    table = (await deployment.loaded()).tensors
    config = ModelConfig(
        name=deployment.manifest.name,
        platform=PLATFORM,
        backend=BACKEND,
        input=[_configured(spec) for spec in service.inputs(table)],
        output=[_configured(spec) for spec in service.outputs(table)],
        parameters={name: {"string_value": str(value)} for name, value in table.meaning.items()},
    )
    return Response(config.model_dump_json(exclude_none=True), media_type="application/json")


def _refusal(reason: str) -> Response:
    """False, which the protocol says with a status of 4xx."""
    return json_response(OipError(error=reason), status=400)


def _shown(spec: TensorSpec) -> TensorMetadata:
    return TensorMetadata(name=spec.name, datatype=spec.datatype, shape=list(spec.shape))


def _configured(spec: TensorSpec) -> TensorConfig:
    kind = "STRING" if spec.datatype == "BYTES" else spec.datatype
    optional = (isinstance(spec, TensorInput) and spec.optional) or None
    return TensorConfig(name=spec.name, data_type=f"TYPE_{kind}", dims=list(spec.shape), optional=optional)


def _stats(request: Request, manifests: list[Manifest]) -> Response:
    return json_response(Statistics(model_stats=[_counted(request, manifest) for manifest in manifests]))


def _counted(request: Request, manifest: Manifest) -> ModelStats:
    model = tensors_of(request).counts[manifest.reference]
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
