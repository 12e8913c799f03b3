"""Who may come in: the key of a request or a socket, its role and its rate; what answers on which port."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Iterable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.key_ring import Credential, KeyRing
from app.access.principal import CURRENT
from app.core.errors import Forbidden, RateLimited, RnnserveError, Unauthenticated
from app.edge.protocol import Protocol, error_response

logger = logging.getLogger(__name__)

KEY_SUBPROTOCOL = "rnnserve.key."
"""Begins the offer in which a browser's socket hands in its key, in URL-safe base64: it can set no header."""

HEALTH = frozenset({"/healthz", "/readyz"})
PUBLIC = HEALTH | {"/", "/docs", "/openapi.json", "/favicon.ico", "/static/client.js"}
PUBLIC_PREFIXES = ("/page/", "/static-offline-docs/", "/docs/")
METRICS = "/metrics"
ADMIN = "/admin/"

_CLOSE_REVOKED = 1008
_REASONS: dict[type[Exception], str] = {
    Unauthenticated: "unauthenticated",
    Forbidden: "forbidden",
    RateLimited: "request_rate",
}
_LOG_S = 1.0


class PathRules:
    """Which paths are open to whom, over all protocols; ``public`` has those of ``health`` too."""

    def __init__(self, protocols: Iterable[Protocol] = ()) -> None:
        protocols = tuple(protocols)
        self.health = HEALTH.union(*(protocol.health for protocol in protocols))
        self.public = PUBLIC | self.health
        self.admin = (ADMIN, *(prefix for protocol in protocols for prefix in protocol.admin))
        self.admin_port = (ADMIN, *(prefix for protocol in protocols for prefix in protocol.admin_port))


class Access:
    def __init__(
        self,
        app: ASGIApp,
        keys: KeyRing | None,
        rules: PathRules,
        admin_port: int | None = None,
        refused: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._app = app
        self._refused = refused
        self._keys = keys
        self._rules = rules
        self._admin_port = admin_port
        self._quiet_until = 0.0
        self._unlogged = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            credential = self._admit(scope)
        except (RnnserveError, HTTPException) as error:
            self._refused(_REASONS.get(type(error), "port"))
            await error_response(error, scope["state"]["request_id"], scope)(scope, receive, send)
            return
        if credential is None:
            CURRENT.set(None)
        else:
            principal = credential.principal
            state = scope["state"]
            state["owner"] = principal.name
            state["principal"] = principal
            CURRENT.set(principal)
            if scope["type"] == "websocket":
                receive = _until_revoked(credential, receive, send)
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> Credential | None:
        """The credential of a request; ``None`` where none is needed. Raises what the client is told."""
        path: str = scope["path"]
        rules = self._rules
        on_admin_port = self._admin_port is not None and scope["server"][1] == self._admin_port
        if self._admin_port is not None and not self._answers(path, on_admin_port):
            raise HTTPException(404, "this path is answered on another port")
        if self._keys is None:
            return None
        try:
            credential = self._keys.find(_key_of(scope))
        except Unauthenticated as error:
            if (
                path in rules.public
                or path.startswith(PUBLIC_PREFIXES)
                or (on_admin_port and path == METRICS)
            ):
                return None
            self._log(scope.get("client"), error)
            raise
        if path.startswith(rules.admin) and not credential.principal.admin:
            raise Forbidden("this needs a key with the role admin")
        if path not in rules.health:
            credential.principal.take_request()
        return credential

    def _answers(self, path: str, on_admin_port: bool) -> bool:
        if path in self._rules.health:
            return True
        return (path == METRICS or path.startswith(self._rules.admin_port)) == on_admin_port

    def _log(self, client: tuple[str, int] | None, error: Unauthenticated) -> None:
        """At most a line a second, so that nobody fills the disk with refusals."""
        now = time.monotonic()
        if now < self._quiet_until:
            self._unlogged += 1
            return
        more = f"; {self._unlogged} others since the last such line" if self._unlogged else ""
        self._quiet_until, self._unlogged = now + _LOG_S, 0
        logger.info("a request from %s was refused: %s%s", client[0] if client else "?", error.message, more)


def _key_of(scope: Scope) -> bytes:
    """The key that came with a request; raises Unauthenticated."""
    given: bytes | None = None
    name: bytes
    value: bytes
    for name, value in scope["headers"]:
        if name == b"authorization":
            if value[:7].lower() == b"bearer ":
                return value[7:].strip()
        elif name == b"x-api-key":
            given = value
    if given is None and scope["type"] == "websocket":
        given = _offered(scope.get("subprotocols", ()))
    if given is None:
        raise Unauthenticated("send an API key as 'Authorization: Bearer KEY' or as 'X-API-Key: KEY'")
    return given


def _offered(subprotocols: Iterable[str]) -> bytes | None:
    for offer in subprotocols:
        if offer.startswith(KEY_SUBPROTOCOL):
            text = offer.removeprefix(KEY_SUBPROTOCOL)
            try:
                return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            except ValueError:
                return b""
    return None


def _until_revoked(credential: Credential, receive: Receive, send: Send) -> Receive:
    """``receive``, which ends the socket at the first message after its key has ceased to be valid."""

    async def guarded() -> Message:
        message = await receive()
        if credential.valid or message["type"] != "websocket.receive":
            return message
        await send(
            {"type": "websocket.close", "code": _CLOSE_REVOKED, "reason": "the API key is not valid any more"}
        )
        return {"type": "websocket.disconnect", "code": _CLOSE_REVOKED}

    return guarded
