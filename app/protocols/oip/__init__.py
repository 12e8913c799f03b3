"""The Open Inference Protocol."""

from fastapi import FastAPI

from app.edge.edge import Edge
from app.edge.protocol import Protocol
from app.protocols.oip import infer, repository, router, stats
from app.protocols.oip.errors import as_oip_error
from app.protocols.oip.service import TensorService


def _open(app: FastAPI) -> None:
    edge: Edge = app.state.edge
    sessions = None if edge.sessions is None else edge.sessions.service
    app.state.tensors = TensorService(edge.service, sessions, edge.limits)


OIP = Protocol(
    prefix="/v2",
    # Before ``/v2/models/{model}``, whose model could be called ``stats``.
    routers=(stats.router, router.router, infer.router, repository.router),
    error_shape=as_oip_error,
    open=_open,
    health=("/v2/health/live", "/v2/health/ready"),
    admin=("/v2/repository/models/",),
    admin_port=("/v2/repository/",),
)
