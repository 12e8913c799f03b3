"""A stand-in for an OpenTelemetry collector: it takes OTLP over HTTP on a real socket, and remembers."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """A context manager; spans arrive in any order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.take(self.path, self.headers["content-type"], body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        """The value of ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, path: str, content_type: str, body: bytes) -> None:
        """One export."""
        assert (path, content_type) == ("/v1/traces", "application/x-protobuf")
        request = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            for resource in request.resource_spans:
                self.resources.append(attributes(resource.resource.attributes))
                for scope in resource.scope_spans:
                    self._spans.extend(scope.spans)

    def trace(self, trace_id: str) -> list[Span]:
        """What came of a trace, by beginning."""
        with self._lock:
            found = [span for span in self._spans if span.trace_id.hex() == trace_id]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def wait_for_root(self, trace_id: str, timeout_s: float = 30.0) -> list[Span]:
        """A trace, once the server's own span has come, which ends and so is exported last."""
        self.wait_for(trace_id, 1, timeout_s)
        return self.trace(trace_id)

    def wait_for(self, trace_id: str, num: int, timeout_s: float = 30.0) -> list[Span]:
        """The server's own spans of a trace, once ``num`` of them have come."""
        until = time.monotonic() + timeout_s
        while True:
            spans = self.trace(trace_id)
            roots = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
            if len(roots) >= num:
                return roots
            assert time.monotonic() < until, f"only {[span.name for span in spans]} came"
            time.sleep(0.05)

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def attributes(pairs: Any) -> dict[str, Any]:
    """Attributes as a dictionary."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)
