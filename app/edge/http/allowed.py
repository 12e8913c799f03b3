"""``Allow`` of a 405: every method that a path answers, over all routes that have it (RFC 9110, 15.5.6).

The framework's router names those of the first such route alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import Scope

METHOD_NOT_ALLOWED = 405


def with_all_methods(error: Exception, routes: Sequence[Route], scope: Scope) -> Exception:
    """The same failure; a 405 lists each method of ``routes`` at the template that this path is first of."""
    if not (isinstance(error, HTTPException) and error.status_code == METHOD_NOT_ALLOWED):
        return error
    template = next((route.path for route in routes if route.matches(scope)[0] is not Match.NONE), None)
    methods = {method for route in routes if route.path == template for method in route.methods or ()}
    if not methods:
        # Not one of these routes: the router's own word stands.
        return error
    return HTTPException(error.status_code, error.detail, {"allow": ", ".join(sorted(methods))})
