"""Errors in the shape of whichever protocol was spoken, told by the path.

exception, path --> problem+json, or ``{"error": {...}}`` under ``/v1/``, ``{"error": "..."}`` under ``/v2``
"""

from __future__ import annotations

from starlette.responses import Response

from app.edge.errors import ErrorShape, as_problem, problem_response
from app.protocols.oip.errors import as_oip_error
from app.protocols.openai.errors import as_openai_error

# The longest prefixes first, where one contains another.
SHAPES: tuple[tuple[str, ErrorShape], ...] = (("/v1/", as_openai_error), ("/v2", as_oip_error))


def shape_of(path: str) -> ErrorShape:
    """How errors of this path are written."""
    return next((shape for prefix, shape in SHAPES if path.startswith(prefix)), as_problem)


def error_response(error: BaseException, request_id: str, path: str) -> Response:
    """The HTTP answer to a failure of a request to ``path``."""
    return problem_response(error, request_id, shape_of(path))
