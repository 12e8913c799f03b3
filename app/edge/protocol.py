"""What another protocol adds to the edge: one value, which its folder exports and main passes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Scope

from app.edge.errors import ErrorShape, as_problem, problem_response


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """A protocol besides the service's own.

    Attributes:
        prefix: begins all of its paths, and none of others.
        open: puts what its routes need on the application's state, where the edge already is, and gives the
            routes in the order in which they are asked.
        error_shape: how it writes failures.
        frames: classes in its event streams, for the OpenAPI document.
        health: paths that are answered without a key, and on every port.
        admin: prefixes of paths that change what is served; they need the role admin.
        admin_port: prefixes of paths that move to the admin port, where there is one.
    """

    prefix: str
    open: Callable[[FastAPI], tuple[APIRouter, ...]]
    error_shape: ErrorShape
    frames: tuple[type[BaseModel], ...] = ()
    health: tuple[str, ...] = ()
    admin: tuple[str, ...] = ()
    admin_port: tuple[str, ...] = ()


def error_response(error: BaseException, request_id: str, scope: Scope) -> Response:
    """The HTTP answer to a failure, as the protocol of the request's path writes it."""
    protocols: tuple[Protocol, ...] = scope["app"].state.protocols
    path: str = scope["path"]
    shape = next(
        (protocol.error_shape for protocol in protocols if f"{path}/".startswith(protocol.prefix)), as_problem
    )
    return problem_response(error, request_id, shape)
