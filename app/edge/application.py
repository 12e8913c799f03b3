"""The web application around an edge: routes, middleware and the failure handlers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi_offline import FastAPIOffline
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from app.core.errors import RnnserveError
from app.core.problem import ErrorFrame
from app.edge.edge import Edge, request_id_of
from app.edge.errors import is_internal
from app.edge.http.access import Access, PathRules
from app.edge.http.middleware import RequestScope
from app.edge.http.routing import DirectRoutes
from app.edge.http.source import SourceRules
from app.edge.openapi import document
from app.edge.protocol import Protocol, error_response
from app.edge.routes import health, models, sessions
from app.edge.routes.page import client_router, page_router
from app.edge.routes.session_steps import session_steps_router
from app.edge.routes.tasks import task_router
from app.edge.sockets import session_socket
from app.edge.sockets.connection import deny
from app.sessions.limits import SessionLimits
from app.tasks.task import Tasks

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_RESOURCES = (sessions.router, session_socket.router, models.router, models.admin_router, health.router)
_EXPOSED = (
    "Inference-Header-Content-Length",
    "Location",
    "Retry-After",
    "Server-Timing",
    "Traceparent",
    "X-Request-ID",
)
_PREFLIGHT_S = 600
_FAILURES: tuple[type[Exception], ...] = (RnnserveError, ValidationError, HTTPException)
_NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def assemble(
    edge: Edge,
    *,
    version: str,
    lifespan: Lifespan | None = None,
    page: bool = False,
    protocols: tuple[Protocol, ...] = (),
) -> FastAPI:
    # The documentation page comes with its scripts, so that it works where nothing else is reached.
    app = FastAPIOffline(
        title="rnnserve",
        docs_url=None,
        # Relative to the document, so that requests from its page keep a proxy's prefix.
        servers=[{"url": "."}],
        description=_description(edge.tasks),
        version=version,
        lifespan=lifespan,
        redoc_url=None,
        separate_input_output_schemas=False,
        # Its router, which hot requests do not pass, would have to name the spans; ours do it: app.telemetry.
        telemetry=_NO_TELEMETRY,
    )
    app.add_api_route("/docs", _docs, include_in_schema=False, response_class=Response)
    app.state.edge = edge
    app.state.protocols = protocols
    routers = [
        *(task_router(task) for task in edge.tasks),
        session_steps_router(edge.tasks, SessionLimits() if edge.sessions is None else edge.sessions.limits),
        *_RESOURCES,
    ]
    for protocol in protocols:
        routers += protocol.open(app)
    for router in routers:
        app.include_router(router)
    routes = [route for router in routers for route in router.routes]
    app.state.routes = [route for route in routes if isinstance(route, Route)]
    sockets = sorted(route.path for route in routes if isinstance(route, WebSocketRoute))
    # A slash at the end is dropped before, since a redirect would lose a proxy's scheme and prefix.
    app.router.redirect_slashes = False
    app.router.default = _nothing_here(sockets)
    app.include_router(client_router())
    if page:
        panels = {task.name: task.page for task in edge.tasks if task.page is not None}
        app.include_router(page_router(panels))
    for kind in _FAILURES:
        app.add_exception_handler(kind, _answer_problem)
    # The last added is the outermost.
    app.add_middleware(DirectRoutes, routes=routes, failures=_FAILURES, answer=_answer_problem)
    access, rules = edge.access, PathRules(protocols)
    if access.keys is not None or access.admin_port is not None:
        app.add_middleware(
            Access, keys=access.keys, rules=rules, admin_port=access.admin_port, refused=edge.metrics.refused
        )
    actions = (action for task in edge.tasks for action in task.actions)
    lives = (task.live for task in edge.tasks if task.live is not None)
    frames = [frame for each in (*edge.tasks, *lives, *actions, *protocols) for frame in each.frames]
    foreign = tuple(protocol.prefix for protocol in protocols)
    asked = None if access.keys is None else rules
    document(app, edge, (*frames, ErrorFrame), asked, foreign)
    app.add_middleware(
        RequestScope,
        metrics=edge.metrics,
        tracing=edge.tracing,
        access_log=edge.access_log,
        rules=SourceRules(access),
    )
    if access.origins:
        # There are no cookies, so every header is harmless.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(access.origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=_EXPOSED,
            max_age=_PREFLIGHT_S,
        )
    app.middleware_stack = _own_layers(app)
    return app


def _description(tasks: Tasks) -> str:
    sockets = "".join(
        f" `WS /{task.name}` takes the body of `POST /{task.name}` as a text frame; see docs/api.md."
        for task in tasks
        if task.frames
    )
    sockets += "".join(f" `WS /{task.name}` takes binary frames." for task in tasks if task.live is not None)
    return f"Recurrent networks as tasks: {', '.join(task.name for task in tasks)}.{sockets}"


def _own_layers(app: FastAPI) -> ASGIApp:
    """The application from our outermost layer inwards.

    What FastAPI puts around it - a net for failures, spans, a bound on bodies - ``RequestScope`` and the
    reading of bodies do here; each layer costs a request as much as parsing its head.
    """
    outermost: Any = app.user_middleware[0].cls
    layer: Any = app.build_middleware_stack()
    while type(layer) is not outermost:
        layer = layer.app
    return cast(ASGIApp, layer)


async def _docs(request: Request) -> Response:
    # Relative, as the proxy's prefix is not known here.
    root = "../" if request.scope["raw_path"].endswith(b"/") else ""
    static = f"{root}static-offline-docs"
    return get_swagger_ui_html(
        openapi_url=f"{root}openapi.json",
        title="rnnserve",
        swagger_js_url=f"{static}/swagger-ui-bundle.js",
        swagger_css_url=f"{static}/swagger-ui.css",
        swagger_favicon_url=f"{static}/favicon.png",
    )


def _nothing_here(sockets: list[str]) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            raise HTTPException(404, "nothing is served at this address; /docs lists what is")
        text = f"no WebSocket is served at this address, only at {', '.join(sockets)}"
        await deny(WebSocket(scope, receive, send), HTTPException(404, text))

    return answer


async def _answer_problem(request: Request, error: Exception) -> Response:
    if is_internal(error):
        # The middleware logs it whole and answers with one constant sentence.
        raise error
    if isinstance(error, HTTPException) and error.status_code == 405:
        # The router names the methods of its first such route alone; RFC 9110, 15.5.6 asks for all.
        routes: list[Route] = request.app.state.routes
        first = next(
            (route.path for route in routes if route.matches(request.scope)[0] is not Match.NONE), None
        )
        methods = {method for route in routes if route.path == first for method in route.methods or ()}
        taken = ", ".join(sorted(methods)) or (error.headers or {}).get("Allow", "")
        text = f"this address takes {taken}, not {request.method}"
        error = HTTPException(405, text, {"allow": taken.replace("GET", "GET, HEAD")})
    return error_response(error, request_id_of(request), request.scope)
