"""A server that says what a test tells it to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Scripted(ThreadingHTTPServer):
    """Gives its answers in turn: status, content type, body and more headers; ``None`` hangs up."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, str, str, dict[str, str]] | None] = []
        self.asked: list[tuple[float, str, Any]] = []
        self.headers: list[dict[str, str]] = []

    def say(self, status: int, document: Any, **headers: str) -> None:
        """One more answer of JSON."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, "application/json", json.dumps(document), more))


class _Handler(BaseHTTPRequestHandler):
    server: Scripted

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        """The next answer."""
        length = int(self.headers.get("content-length", "0"))
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.asked.append((time.monotonic(), f"{self.command} {self.path}", body))
        self.server.headers.append(dict(self.headers.items()))
        answer = self.server.answers.pop(0)
        if answer is None:
            return
        status, kind, text, headers = answer
        self.send_response(status)
        for name, value in {"content-type": kind, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    do_POST = do_DELETE = do_GET


@contextmanager
def answering() -> Iterator[Scripted]:
    """One that has nothing to say yet."""
    with Scripted() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
