"""Log lines: one event each, as JSON or for a console, with the request's ids. Never a payload.

structlog loggers --+
stdlib loggers -----+--> one handler on the root logger --> stderr
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.contextvars import merge_contextvars
from structlog.typing import EventDict, Processor, WrappedLogger

from app.core.context import REQUEST

Level = Literal["debug", "info", "warning", "error"]

_access = structlog.stdlib.get_logger("app.requests")


def configure_logging(level: Level, form: Literal["json", "console"]) -> None:
    shared: list[Processor] = [
        merge_contextvars,
        _add_request,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(allow=()),
    ]
    if form == "json":
        last: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # The plain formatter: the pretty one prints local variables, and they hold payloads.
        last = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # uvicorn reports each start and stop step, and each WebSocket; we say those things ourselves.
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def log_access(method: str, route: str, status: int, seconds: float) -> None:
    """One line for one answer; the route is a template, so that nothing a client wrote is in it."""
    _access.info("request", method=method, route=route, status=status, seconds=round(seconds, 6))


def _add_request(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    request = REQUEST.get()
    if request is not None:
        event.setdefault("request_id", request.request_id)
        if request.trace_id is not None:
            event.setdefault("trace_id", request.trace_id)
    return event
