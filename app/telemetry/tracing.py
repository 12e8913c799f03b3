"""OpenTelemetry spans, when they are asked for; until then nothing of OpenTelemetry is imported.

    HTTP request or socket          RequestScope, kind SERVER, HTTP semantic conventions
      +- prepare                    parse, validate, encode, until the engine has it
      +- queue, compute             waiting for a first run; from there to the last event
      +- session read, commit       calls of the session store

What a queue and a batch cost a request is known when it has ended, so those spans are made then,
with the times measured; nothing is traced inside the engine's loop. Endpoint, sampler, headers,
attributes: the standard ``OTEL_*`` variables.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from app.core.errors import ConfigurationError
from app.telemetry.shared_spans import Attributes, Note, SharedSpans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

_FIRST_FAILURE = 500


class RequestSpan:
    """One request's span, from its head to the last of its answer.

    Args:
        span: begun, and current until :meth:`end`.
        token: of what was current before.
        mark: since when nothing else has been traced, Unix time in nanoseconds; ``None`` in a socket,
            which has no one beginning.
    """

    __slots__ = ("_token", "mark", "span")

    def __init__(self, span: Span, token: Any, mark: int | None) -> None:
        self.span = span
        self._token = token
        self.mark = mark

    @property
    def recorded(self) -> bool:
        """Whether anybody will see it, and what lies below."""
        return self.span.is_recording()

    def advance(self, now: int) -> None:
        """What comes next begins ``now``."""
        if self.mark is not None:
            self.mark = now

    @property
    def traceparent(self) -> bytes:
        """The span as W3C's header names it."""
        context = self.span.get_span_context()
        return b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, context.trace_flags)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self.span.get_span_context().trace_id:032x}"

    def end(self, route: str | None, status: int, error: str | None = None) -> None:
        """Name the span and hand it to the exporter.

        Args:
            route: the path's template, where one was found.
            status: of the answer; 0 when there was none.
            error: class of the failure that ended it.
        """
        from opentelemetry import context
        from opentelemetry.trace import StatusCode

        span = self.span
        if span.is_recording():
            if route is not None:
                span.update_name(f"{_method(span)} {route}".strip())
                span.set_attribute("http.route", route)
            if status:
                span.set_attribute("http.response.status_code", status)
            if error is not None or status >= _FIRST_FAILURE:
                span.set_attribute("error.type", error or str(status))
                span.set_status(StatusCode.ERROR)
        span.end()
        context.detach(self._token)


_current: ContextVar[RequestSpan | None] = ContextVar("request_span", default=None)


class Tracing:
    """Makes spans.

    Args:
        provider: exports them.
    """

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.context import Context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer: Tracer = provider.get_tracer("rnnserve")
        self._propagator = TraceContextTextMapPropagator()
        self._root = Context()
        self._shared = SharedSpans(self._tracer)

    def begin(
        self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]], attributes: dict[str, Any]
    ) -> RequestSpan:
        """Begin a request's span, in the caller's trace if it names one, and make it current.

        Args:
            method: of the request.
            path: without its query, which may hold what callers keep to themselves.
            headers: lower case names.
            attributes: further ones, of the semantic conventions.
        """
        from opentelemetry import context
        from opentelemetry.trace import SpanKind, set_span_in_context

        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in headers
            if name in (b"traceparent", b"tracestate")
        }
        span = self._tracer.start_span(
            method,
            context=self._propagator.extract(carrier) if carrier else self._root,
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "url.path": path, **attributes},
        )
        mark = None if attributes.get("network.protocol.name") == "websocket" else time.time_ns()
        request = RequestSpan(span, context.attach(set_span_in_context(span)), mark)
        _current.set(request)
        return request

    @contextmanager
    def span(self, name: str, attributes: Attributes, keys: Sequence[str] | None = None) -> Iterator[None]:
        """A span around a block, below what is current; or below whoever shares it.

        Args:
            name: of the span.
            attributes: of the span.
            keys: of the sessions that the block writes.
        """
        request = _current.get()
        if request is not None and not request.recorded:
            yield
            return
        if request is not None:
            with self._tracer.start_as_current_span(name, attributes=attributes):
                yield
            request.advance(time.time_ns())
            return
        began = time.time_ns()
        yield
        self._shared.note(Note(name, began, time.time_ns(), attributes))
        if keys is not None:
            self._shared.tell(keys)

    @contextmanager
    def waiting(self, keys: Sequence[str]) -> Iterator[None]:
        """In the block the current request waits for what a group does to these sessions."""
        request = _current.get()
        if request is None or not request.recorded:
            yield
            return
        self.prepared(time.time_ns())
        with self._shared.waiting(keys, request.span):
            yield
        request.advance(time.time_ns())

    def prepared(self, now: int) -> None:
        """Work was handed to an engine ``now``: what led to it becomes a span."""
        request = _current.get()
        if request is None:
            self._shared.open()
        elif request.recorded and request.mark is not None:
            self._tracer.start_span("prepare", start_time=request.mark).end(now)
            request.mark = now

    def ran(self, began: int, queue_s: float, attributes: Attributes) -> None:
        """An engine has answered what it was handed at ``began``: its wait and its runs become spans."""
        request = _current.get()
        if request is not None and not request.recorded:
            return
        ended = time.time_ns()
        started = min(ended, began + int(queue_s * 1e9))
        for note in (Note("queue", began, started, attributes), Note("compute", started, ended, attributes)):
            if request is None:
                self._shared.note(note)
            else:
                self._tracer.start_span(note.name, start_time=note.began, attributes=attributes).end(
                    note.ended
                )
        if request is not None:
            request.advance(ended)

    def close(self) -> None:
        """Export what is left; may take as long as the exporter's timeout."""
        self._provider.shutdown()


def open_tracing(version: str) -> Tracing:
    """Spans exported by OTLP over HTTP, as the ``OTEL_*`` variables say.

    Args:
        version: of the service.

    Raises:
        ConfigurationError: the packages of the extra ``otel`` are not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigurationError(
            "--tracing otlp needs the extra packages of rnnserve[otel]: "
            "opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http"
        ) from None
    # What the variables say wins.
    attributes = {SERVICE_VERSION: version, **Resource.create().attributes}
    if str(attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        attributes[SERVICE_NAME] = "rnnserve"
    provider = TracerProvider(resource=Resource(attributes))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


def _method(span: Span) -> str:
    attributes = getattr(span, "attributes", None) or {}
    return str(attributes.get("http.request.method", ""))
