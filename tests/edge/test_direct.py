"""Routes that are found in a table answer as the framework's router would."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app.core.errors import InvalidInput
from app.edge.http.routing import DirectRoutes
from app.edge.routes.session_steps import session_steps_router
from app.edge.routes.tasks import task_router
from app.registered import TASKS
from app.sessions.limits import SessionLimits
from app.tasks.task import Tasks
from tests.edge.fake_service import FakeEdge


async def everything_else(scope: Scope, receive: Receive, send: Send) -> None:
    """What the router would get."""
    await Response("router", status_code=299)(scope, receive, send)


async def answer(request: Request, error: Exception) -> Response:
    """An error's answer."""
    return JSONResponse({"error": str(error)}, 418)


def direct(edge: FakeEdge, root: str = "") -> TestClient:
    """A client of the table alone."""
    routes = [
        *(route for task in TASKS for route in task_router(task).routes),
        *session_steps_router(Tasks(TASKS), SessionLimits()).routes,
    ]
    table = DirectRoutes(everything_else, routes, (InvalidInput, ValidationError), answer)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = edge.app
        scope.setdefault("state", {})["request_id"] = "test"
        await table(scope, receive, send)

    return TestClient(application, root_path=root)


@pytest.mark.parametrize(
    ("method", "path", "root", "found"),
    [
        ("POST", "/forecast", "", True),
        ("POST", "/sessions/steps", "", True),
        ("POST", "/sessions/a/steps", "", True),
        ("GET", "/forecast", "", False),
        ("POST", "/forecast/", "", False),
        ("POST", "/sessions//steps", "", False),
        ("POST", "/sessions/a%2Fb/steps", "", False),
        ("POST", "/sessions/a/steps/more", "", False),
        ("POST", "/forecast", "/prefix", False),
    ],
)
def test_only_exact_paths_are_taken(edge: FakeEdge, method: str, path: str, root: str, found: bool) -> None:
    """Everything else, other methods and mounted applications are the router's."""
    response = direct(edge, root).request(method, path, content=b"")
    # An empty body is refused by the handler itself, which shows that it was reached.
    assert (response.status_code != 299) is found


def test_failures_are_answered_by_the_application(edge: FakeEdge) -> None:
    """As the router's would be."""
    response = direct(edge).post("/forecast", content=b"")
    assert response.status_code == 418
    assert "empty" in response.json()["error"]
