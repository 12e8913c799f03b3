"""OpenTelemetry spans, when they are asked for; until then nothing of OpenTelemetry is imported.

    HTTP request or socket          kind SERVER, OpenTelemetry's HTTP conventions
      +- prepare                    parse, validate, encode, until the engine has it
      +- queue, compute             waiting for a first run; from there to the last event
      +- session read, commit       calls of the session store

What a queue and a batch cost a request is known when it has ended, so those spans are made then,
with the times measured; nothing is traced inside the engine's loop.

Step calls that wait at the same time are read, run and written as one group, in a task that belongs
to none of their requests. What the group does is noted, and becomes spans of each of the requests
when their sessions have been written, each with the times of the whole.

The server's span is made here. Measured around an application that does nothing, in CPU time of a
recorded request and of one that is not sampled: 46 and 24 us; opentelemetry-instrumentation-asgi
0.66b2 takes 177 and 121 us, Starlette's middleware 73 and 53, FastAPI's 57 and 37. All three export
the query, and stand between an answer and the connection that would send it in one write. The first
does not tell the route, the second has no spans of WebSockets, and the third learns the route from
a router that most requests here do not pass.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

logger = logging.getLogger(__name__)

Attributes = dict[str, str | int | float]

CLOSE_S = 2.0
"""How long the end of the server waits for the last spans to be exported."""

_FIRST_FAILURE = 500
_TRACE_CONTEXT = frozenset({b"traceparent", b"tracestate"})


@dataclass(slots=True, eq=False)
class RequestSpan:
    """One request's span, from its head to the last of its answer; current until :meth:`end`.

    Args:
        token: detaches it.
        mark: end of the last span below it, Unix time in nanoseconds; ``None`` in a socket, which has no
            one beginning.
    """

    span: Span
    method: str
    token: Any
    mark: int | None

    @property
    def recorded(self) -> bool:
        return self.span.is_recording()

    def advance(self, now: int) -> None:
        if self.mark is not None:
            self.mark = now

    @property
    def traceparent(self) -> bytes:
        context = self.span.get_span_context()
        return b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, context.trace_flags)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self.span.get_span_context().trace_id:032x}"

    def end(self, route: str | None, status: int, error: str | None = None) -> None:
        """Name the span by its route and hand it to the exporter; ``status`` 0: there was no answer."""
        from opentelemetry import context
        from opentelemetry.trace import StatusCode

        span = self.span
        if span.is_recording():
            if route is not None:
                span.update_name(f"{self.method} {route}")
                span.set_attribute("http.route", route)
            if status:
                span.set_attribute("http.response.status_code", status)
            if error is not None or status >= _FIRST_FAILURE:
                span.set_attribute("error.type", error or str(status))
                span.set_status(StatusCode.ERROR)
        span.end()
        context.detach(self.token)


@dataclass(frozen=True, slots=True)
class Note:
    """A span that will be made later; times in nanoseconds of Unix time."""

    name: str
    began: int
    ended: int
    attributes: Attributes


_current: ContextVar[RequestSpan | None] = ContextVar("request_span", default=None)
_group_notes: ContextVar[list[Note] | None] = ContextVar("group_notes", default=None)
# A task that reads for ever and never writes must not collect for ever.
_MOST_NOTES = 16


def _open_notes() -> list[Note]:
    """The notes of a task that serves several requests; its callbacks share the list."""
    notes = _group_notes.get()
    if notes is None:
        notes = []
        _group_notes.set(notes)
    return notes


class Tracing:
    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.context import Context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer: Tracer = provider.get_tracer("rnnserve")
        self._propagator = TraceContextTextMapPropagator()
        self._root = Context()
        # By session: the spans of the requests that wait for it.
        self._waiting: dict[str, list[Span]] = {}

    def begin(self, scope: Mapping[str, Any]) -> RequestSpan:
        """Begin the span of an ASGI scope, in the caller's trace if it names one, and make it current."""
        from opentelemetry import context
        from opentelemetry.trace import SpanKind, set_span_in_context

        socket = scope["type"] == "websocket"
        method = "GET" if socket else scope["method"]
        # Without the query, which may hold what callers keep to themselves.
        attributes = {
            "http.request.method": method,
            "url.path": scope["path"],
            "url.scheme": scope["scheme"],
            "network.protocol.version": scope["http_version"],
        }
        if socket:
            attributes["network.protocol.name"] = "websocket"
        if scope.get("server"):
            attributes["server.address"], attributes["server.port"] = scope["server"]
        if scope.get("client"):
            attributes["client.address"] = scope["client"][0]
        carrier = {}
        for name, value in scope["headers"]:
            if name == b"user-agent":
                attributes["user_agent.original"] = value.decode("latin-1")
            elif name in _TRACE_CONTEXT:
                carrier[name.decode("ascii")] = value.decode("latin-1")
        parent = self._propagator.extract(carrier) if carrier else self._root
        span = self._tracer.start_span(method, context=parent, kind=SpanKind.SERVER, attributes=attributes)
        token = context.attach(set_span_in_context(span))
        request = RequestSpan(span, method, token, None if socket else time.time_ns())
        _current.set(request)
        return request

    @contextmanager
    def span(self, name: str, attributes: Attributes, keys: Sequence[str] | None = None) -> Iterator[None]:
        """A span around a block, below the current request or all that wait for the sessions ``keys``."""
        began = time.time_ns()
        try:
            yield
        except BaseException as error:
            attributes = {**attributes, "error.type": type(error).__name__}
            raise
        finally:
            self._add(Note(name, began, time.time_ns(), attributes))
            if keys is not None and _current.get() is None:
                self._hand_out(keys)

    @contextmanager
    def waiting(self, keys: Sequence[str]) -> Iterator[None]:
        """In the block the current request waits for what a group of step calls does to these sessions."""
        request = _current.get()
        if request is None or not request.recorded:
            yield
            return
        self.prepared(time.time_ns())
        waited = frozenset(keys)
        for key in waited:
            self._waiting.setdefault(key, []).append(request.span)
        try:
            yield
        finally:
            for key in waited:
                self._waiting[key].remove(request.span)
                if not self._waiting[key]:
                    del self._waiting[key]
            request.advance(time.time_ns())

    def prepared(self, now: int) -> None:
        """Work was submitted to an engine ``now``: make the span of its preparation."""
        request = _current.get()
        if request is None:
            _open_notes()  # here, for the engine's callbacks run in a copy of this context
        elif request.recorded and request.mark is not None:
            self._add(Note("prepare", request.mark, now, {}))

    def ran(self, began: int, queue_s: float, attributes: Attributes) -> None:
        """Work submitted at ``began`` has ended: make the spans of its wait and of its runs."""
        ended = time.time_ns()
        started = min(ended, began + int(queue_s * 1e9))
        self._add(Note("queue", began, started, attributes))
        self._add(Note("compute", started, ended, attributes))

    def _add(self, note: Note) -> None:
        request = _current.get()
        if request is None:
            notes = _open_notes()
            notes.append(note)
            del notes[:-_MOST_NOTES]
        elif request.recorded:
            self._make(note, request.span)
            request.advance(note.ended)

    def _hand_out(self, keys: Sequence[str]) -> None:
        """These sessions were written: make the group's notes spans of each request that waits for them."""
        notes = _open_notes()
        spans = {id(span): span for key in keys for span in self._waiting.get(key, ())}
        for span in spans.values():
            for note in notes:
                self._make(note, span)
        notes.clear()

    def _make(self, note: Note, parent: Span) -> None:
        from opentelemetry.trace import StatusCode, set_span_in_context

        span = self._tracer.start_span(
            note.name, context=set_span_in_context(parent), start_time=note.began, attributes=note.attributes
        )
        if "error.type" in note.attributes:
            span.set_status(StatusCode.ERROR)
        span.end(note.ended)

    def close(self) -> None:
        """Export what is left, for at most ``CLOSE_S``; the rest is lost."""
        # The exporter tries a dead collector again and again, and each time says so.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        exporting = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        exporting.start()
        exporting.join(CLOSE_S)
        if exporting.is_alive():
            logger.warning("the collector did not take the last spans within %g s; they are dropped", CLOSE_S)
