"""The running server keeps the promises of its own OpenAPI document, under requests made from it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.access.api_key import new_key, shown_digest
from tests.e2e.server import ServerProcess
from tests.reliability.fuzz import DEFAULTS, run, run_command, write_models

pytestmark = pytest.mark.long
# Half a minute; ``python -m tests.reliability.fuzz`` runs as long as one likes.
MAX_EXAMPLES = 8
# Hypothesis draws from the constants of the code as well, so after a change anywhere an operation may have no
# good request among so few, and gets more.
_MORE_EXAMPLES = 80


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for each task, and a spare one."""
    folder = tmp_path_factory.mktemp("fuzz-models")
    write_models(folder)
    return folder


def test_no_answer_contradicts_the_document(models: Path, tmp_path: Path) -> None:
    """Thousands of good and bad requests: no 500, no undocumented answer, and nothing leaks."""
    with ServerProcess(models, default=DEFAULTS, max_tokens=64) as server:
        outcome = run(server, tmp_path, MAX_EXAMPLES, seed=20)
        assert outcome.failures == [], outcome.text
        assert outcome.cases > 2000
        assert "Traceback" not in server.log
        with server.client() as client:
            assert client.get("/readyz").status_code == 200
    for operation in (operation for operation, count in outcome.accepted.items() if count < 1):
        with ServerProcess(models, default=DEFAULTS, max_tokens=64) as server:
            only = ("--include-name", operation, "--phases", "fuzzing")
            more = run(server, tmp_path, _MORE_EXAMPLES, 20, {}, *only)
            assert more.failures == [], more.text
            assert more.accepted[operation] >= 1, f"no good request was ever accepted: {operation}"


def test_nor_with_keys(models: Path, tmp_path: Path) -> None:
    """Where keys are asked for, every operation that says so refuses requests without one, as documented."""
    key = new_key()
    keys = tmp_path / "keys.toml"
    keys.write_text(f'[keys.fuzz]\nhash = "{shown_digest(key)}"\nrole = "admin"\n')
    with ServerProcess(models, default=DEFAULTS, max_tokens=64, keys=keys) as server:
        # The keys that schemathesis would make up are none of this server's.
        arguments = ("--phases", "examples,fuzzing", "--generation-with-security-parameters", "false")
        outcome = run(server, tmp_path, 5, 20, {"X-API-Key": key}, *arguments)
        assert outcome.failures == [], outcome.text
        assert outcome.cases > 500
        assert "Traceback" not in server.log


MISTAKES = {
    "/traceback": (400, "application/json", '{"detail": "Traceback (most recent call last)"}'),
    "/path": (422, "application/json", '{"detail": "no such file: /usr/lib/python3/x.so"}'),
    "/module": (422, "application/json", '{"detail": "app.service.run has failed"}'),
    "/busy": (503, "application/json", "{}"),
    "/inside": (
        200,
        "application/json",
        '{"results": [{"error": {"type": "urn:rnnserve:problem:internal", "status": 500}}]}',
    ),
    "/stream": (200, "text/event-stream", 'data: {"type": "token"}\n\n'),
    "/problem": (422, "application/problem+json", '{"type": "urn:rnnserve:problem:odd", "status": 422}'),
    "/other": (418, "application/json", "{}"),
}
FOUND = {
    "/traceback": "'Traceback'",
    "/path": "'/usr/'",
    "/module": "'app.service'",
    "/busy": "without Retry-After",
    "/inside": "reports 500",
    "/stream": "a stream ends with",
    "/problem": "a problem of type 'odd'",
    "/other": "Undocumented status code",
}


class Careless(BaseHTTPRequestHandler):
    """A server that makes every mistake that the checks look for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The document, or one of the mistakes."""
        if self.path == "/openapi.json":
            document: dict[str, Any] = {
                "openapi": "3.1.0",
                "info": {"title": "careless", "version": "1"},
                "paths": {},
            }
            for path, (status, kind, _) in MISTAKES.items():
                documented: dict[str, Any] = {"200": {"description": ""}}
                if path != "/other":
                    documented[str(status)] = {"description": "", "content": {kind: {}}}
                document["paths"][path] = {"get": {"responses": documented}}
            self._send(200, "application/json", json.dumps(document))
        else:
            self._send(*MISTAKES.get(self.path, (404, "application/json", "{}")))

    def _send(self, status: int, kind: str, text: str) -> None:
        self.send_response(status)
        for name, value in (("content-type", kind), ("content-length", str(len(text)))):
            self.send_header(name, value)
        self.send_header("x-request-id", "1")
        self.send_header("x-content-type-options", "nosniff")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def careless() -> Iterator[SimpleNamespace]:
    """That server, on a port of its own."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Careless) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def test_the_checks_find_what_they_look_for(careless: SimpleNamespace, tmp_path: Path) -> None:
    """Each mistake of a careless server is found."""
    outcome = run_command(careless.url, tmp_path, 1, 1, {}, "--phases", "fuzzing", "--mode", "positive")
    for path, mark in FOUND.items():
        assert mark in outcome.text, path
