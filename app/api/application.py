"""The web application around an edge: routes, middleware and the failure handlers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.api import (
    forecast,
    generate,
    generate_socket,
    health,
    metrics,
    models,
    sentiment,
    session_history,
    session_socket,
    session_state,
    session_steps,
    sessions,
)
from app.api.edge import Edge, request_id_of
from app.api.errors import is_internal, problem_response
from app.api.middleware import RequestScope
from app.core.errors import RnnserveError

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_RESOURCES = (
    forecast,
    sentiment,
    generate,
    generate_socket,
    session_steps,
    sessions,
    session_history,
    session_state,
    session_socket,
    models,
    health,
    metrics,
)
_DESCRIPTION = (
    "Forecasts, sentiment and generated text from recurrent networks. "
    "`WS /generate` takes the body of `POST /generate` as a text frame; see docs/api.md."
)


def assemble(edge: Edge, *, version: str, lifespan: Lifespan | None = None) -> FastAPI:
    """The ASGI application.

    Args:
        edge: what the routes use.
        version: shown in the documentation.
        lifespan: starts and stops what the edge needs.
    """
    # The documentation page comes with its scripts, so that it works where nothing else is reached.
    app = FastAPIOffline(
        title="rnnserve",
        description=_DESCRIPTION,
        version=version,
        lifespan=lifespan,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.edge = edge
    for module in _RESOURCES:
        app.include_router(module.router)
    app.add_middleware(RequestScope, metrics=edge.metrics)
    for kind in (RnnserveError, ValidationError, HTTPException):
        app.add_exception_handler(kind, _answer_problem)
    return app


async def _answer_problem(request: Request, error: Exception) -> Response:
    if is_internal(error):
        # The middleware logs it whole and answers with one constant sentence.
        raise error
    return problem_response(error, request_id_of(request))
