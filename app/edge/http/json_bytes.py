"""An answer whose bytes are there already."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.responses import Response


class JsonBytes(Response):
    """An answer that is JSON already; its headers are written without Starlette's detours."""

    def __init__(
        self,
        body: bytes,
        status: int = 200,
        headers: Iterable[tuple[bytes, bytes]] = (),
        media_type: bytes = b"application/json",
    ) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        length = b"%d" % len(body)
        self.raw_headers = [(b"content-length", length), (b"content-type", media_type), *headers]
