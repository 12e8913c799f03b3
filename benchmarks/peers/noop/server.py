"""An ASGI application that reads a body and answers with the same bytes each time: the edge's floor.

NOOP_BYTES=2600 uvicorn server:app --loop uvloop --http httptools
"""

from __future__ import annotations

import os
from typing import Any

ANSWER = b'{"noop":"' + b"0" * (int(os.environ.get("NOOP_BYTES", "2600")) - 11) + b'"}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI, HTTP and WebSocket (echo)."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})
