"""``/v2`` of the Open Inference Protocol: the server, its health, and what its models read and give."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from app.bundle.manifest import Manifest
from app.core.tensor import TensorSpec
from app.edge.edge import Edge, edge_of
from app.edge.http.routing import json_response
from app.edge.routes.health import readiness
from app.protocols.oip.routing import ERRORS, OipRoute
from app.protocols.oip.schema import (
    Live,
    ModelConfig,
    ModelMetadata,
    ModelReady,
    OipError,
    Ready,
    ServerMetadata,
    TensorConfig,
    TensorMetadata,
)
from app.protocols.oip.service import TensorService

ModelPath = Annotated[str, Path(description="the model's name")]
VersionPath = Annotated[str, Path(description="a version, or a label")]

NAME = "rnnserve"
PLATFORM = "onnxruntime_onnx"
BACKEND = "onnxruntime"
_EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics")
_SEQUENCES = ("sequence", "sequence(string_id)")

router = APIRouter(route_class=OipRoute, tags=["open inference protocol"])


def tensors_of(request: Request) -> TensorService:
    """Inference on tensors of the application that received a request."""
    service: TensorService = request.app.state.tensors
    return service


@router.get("/v2", response_model=ServerMetadata, responses=ERRORS)
async def server(request: Request) -> Response:
    """The server, its version, and the extensions that it knows."""
    extensions = sorted((*_EXTENSIONS, *(_SEQUENCES if tensors_of(request).has_sequences else ())))
    return json_response(ServerMetadata(name=NAME, version=request.app.version, extensions=extensions))


@router.get("/v2/health/live", response_model=Live, responses=ERRORS)
async def live(request: Request) -> Response:
    """Whether the process should go on."""
    dead = [name for name, alive in edge_of(request).alive.items() if not alive()]
    return _refusal(f"the engine of {', '.join(dead)} has stopped") if dead else json_response(Live())


@router.get("/v2/health/ready", response_model=Ready, responses=ERRORS)
async def ready(request: Request) -> Response:
    """Whether requests should be sent here."""
    found = readiness(edge_of(request))
    return json_response(Ready()) if found.ready else _refusal(found.reason or "not ready")


@router.get("/v2/models/{model}/ready", response_model=ModelReady, responses=ERRORS)
async def model_ready(request: Request, model: ModelPath) -> Response:
    """Whether a model answers."""
    return _model_ready(request, model, None)


@router.get("/v2/models/{model}/versions/{version}/ready", response_model=ModelReady, responses=ERRORS)
async def version_ready(request: Request, model: ModelPath, version: VersionPath) -> Response:
    """Whether a version of a model answers."""
    return _model_ready(request, model, version)


@router.get("/v2/models/{model}", response_model=ModelMetadata, responses=ERRORS)
async def model_metadata(request: Request, model: ModelPath) -> Response:
    """The tensors that a model reads and gives."""
    return _metadata(request, model, None)


@router.get("/v2/models/{model}/versions/{version}", response_model=ModelMetadata, responses=ERRORS)
async def version_metadata(request: Request, model: ModelPath, version: VersionPath) -> Response:
    """The tensors that a version of a model reads and gives."""
    return _metadata(request, model, version)


@router.get("/v2/models/{model}/config", response_model=ModelConfig, responses=ERRORS)
async def model_config(request: Request, model: ModelPath) -> Response:
    """The same in the words of Triton's model configuration."""
    return _config(request, model, None)


@router.get("/v2/models/{model}/versions/{version}/config", response_model=ModelConfig, responses=ERRORS)
async def version_config(request: Request, model: ModelPath, version: VersionPath) -> Response:
    """The same in the words of Triton's model configuration."""
    return _config(request, model, version)


def _refusal(reason: str) -> Response:
    """False, which the protocol says with a status of 4xx."""
    return json_response(OipError(error=reason), status=400)


def _model_ready(request: Request, model: str, version: str | None) -> Response:
    edge = edge_of(request)
    manifest = tensors_of(request).find(model, version).manifest
    alive = edge.alive.get(manifest.reference)
    if edge.lifecycle.draining:
        return _refusal("the server is shutting down")
    if alive is None or not alive():
        return _refusal(f"the engine of {manifest.reference} has stopped")
    return json_response(ModelReady(name=manifest.name))


def _metadata(request: Request, model: str, version: str | None) -> Response:
    edge, service = edge_of(request), tensors_of(request)
    deployment = service.find(model, version)
    manifest, signature = deployment.manifest, service.signature(deployment)
    return json_response(
        ModelMetadata(
            name=manifest.name,
            versions=_versions(edge, manifest),
            platform=PLATFORM,
            inputs=[_shown(spec) for spec in signature.inputs],
            outputs=[_shown(spec) for spec in signature.outputs],
            parameters=dict(signature.meaning),
        )
    )


def _config(request: Request, model: str, version: str | None) -> Response:
    service = tensors_of(request)
    deployment = service.find(model, version)
    signature = service.signature(deployment)
    config = ModelConfig(
        name=deployment.manifest.name,
        platform=PLATFORM,
        backend=BACKEND,
        input=[_configured(spec) for spec in signature.inputs],
        output=[_configured(spec) for spec in signature.outputs],
        parameters={name: {"string_value": str(value)} for name, value in signature.meaning.items()},
    )
    return Response(config.model_dump_json(exclude_none=True), media_type="application/json")


def _versions(edge: Edge, manifest: Manifest) -> list[str]:
    served = (one.manifest for one in edge.service.deployments.values())
    return [one.version for one in served if one.name == manifest.name]


def _shown(spec: TensorSpec) -> TensorMetadata:
    return TensorMetadata(name=spec.name, datatype=spec.datatype, shape=list(spec.shape))


def _configured(spec: TensorSpec) -> TensorConfig:
    kind = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return TensorConfig(
        name=spec.name, data_type=f"TYPE_{kind}", dims=list(spec.shape), optional=spec.optional or None
    )
