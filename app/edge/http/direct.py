"""The routes of requests that come by the thousand, found by one look into a table."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.edge.http.middleware import TaggedSend
from app.edge.http.routing import BytesRoute, JsonBytes

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Answer = Callable[[Request, Exception], Coroutine[Any, Any, Response]]

_ITEM_SEGMENTS = 4
"""Of ``/resource/{id}/action`` when it is split at its slashes."""


class DirectRoutes:
    """The innermost middleware; ``answer`` raises those of the ``failures`` that are not for the client."""

    def __init__(
        self,
        app: ASGIApp,
        routes: Iterable[BaseRoute],
        failures: tuple[type[Exception], ...],
        answer: Answer,
    ) -> None:
        self._app = app
        self._failures = failures
        self._answer = answer
        self._fixed: dict[tuple[str, str], tuple[BytesRoute, Handler]] = {}
        self._items: dict[tuple[str, str, str], tuple[BytesRoute, Handler, str]] = {}
        for route in routes:
            if isinstance(route, BytesRoute):
                self._add(route)

    def _add(self, route: BytesRoute) -> None:
        handler = route.get_route_handler()
        names = list(route.param_convertors)
        segments = route.path_format.split("/")
        for method in route.methods or ():
            if not names:
                self._fixed.setdefault((method, route.path_format), (route, handler))
            elif len(segments) == _ITEM_SEGMENTS and segments[2] == f"{{{names[0]}}}" and len(names) == 1:
                key = (method, segments[1], segments[3])
                self._items.setdefault(key, (route, handler, names[0]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._find(scope) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"], handler, scope["path_params"] = found
        request = Request(scope, receive, send)
        try:
            response = await handler(request)
        except self._failures as error:
            response = await self._answer(request, error)
        if (
            type(response) is JsonBytes
            and type(send) is TaggedSend
            and send.at_once(response.status_code, response.raw_headers, bytes(response.body))
        ):
            return
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[BytesRoute, Handler, dict[str, str]] | None:
        if scope["root_path"]:
            return None
        path = scope["path"]
        fixed = self._fixed.get((scope["method"], path))
        if fixed is not None:
            return *fixed, {}
        segments = path.split("/")
        if len(segments) != _ITEM_SEGMENTS or not segments[2]:
            return None
        item = self._items.get((scope["method"], segments[1], segments[3]))
        return None if item is None else (item[0], item[1], {item[2]: segments[2]})
