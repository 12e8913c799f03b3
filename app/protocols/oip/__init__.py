"""The Open Inference Protocol."""

from fastapi import APIRouter, FastAPI

from app.edge.edge import Edge
from app.edge.protocol import Protocol
from app.protocols.oip import repository, router
from app.protocols.oip.infer import infer_router
from app.protocols.oip.routing import as_oip_error
from app.protocols.oip.service import TensorService


def _open(app: FastAPI) -> tuple[APIRouter, ...]:
    edge: Edge = app.state.edge
    sessions = None if edge.sessions is None else edge.sessions.service
    app.state.tensors = TensorService(edge.service, sessions, edge.limits)
    examples = {key: example for task in edge.tasks for key, example in task.tensor_examples.items()}
    return (router.router, infer_router(examples), repository.router)


OIP = Protocol(
    prefix="/v2",
    error_shape=as_oip_error,
    open=_open,
    health=("/v2/health/live", "/v2/health/ready"),
    admin=("/v2/repository/models/",),
    admin_port=("/v2/repository/",),
)
