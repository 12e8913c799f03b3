"""What holds of every address: HEAD, a slash at the end, other methods, sockets, and bodies left out."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.testclient import TestClient, WebSocketDenialResponse

from tests.edge.fake_service import FakeEdge
from tests.edge.fake_sessions import FakeSessions
from tests.edge.running import Line, Running

APP: Any = FakeEdge(sessions=FakeSessions().edge()).app
ROUTES: list[Route] = [route for route in APP.state.routes if isinstance(route, Route)]
FIXED = [route.path for route in ROUTES if "GET" in (route.methods or ()) and "{" not in route.path]
BODIES = [route.path for route in ROUTES if isinstance(route, APIRoute) and route.body_field is not None]
# Of the others a field must be given.
EMPTY = {
    "/sessions",
    "/sessions/{id}/compose",
    "/sessions/{id}/forecast",
    "/sessions/{id}/fork",
    "/sessions/{id}/generate",
    "/sessions/{id}/snapshots",
}


@pytest.mark.parametrize("path", [*FIXED, "/docs", "/openapi.json"])
async def test_head_is_the_head_of_get(path: str) -> None:
    """Status and headers are those of GET, and the connection goes on without a body."""
    async with Running() as running, Line(running.port) as line:
        line.send(*(b"%b %b HTTP/1.1\r\nhost: x\r\n\r\n" % (one, path.encode()) for one in (b"HEAD", b"GET")))
        status, headers, _ = await line.answer(bodiless=True)
        again, whole, body = await line.answer()
    assert status == again
    assert int(headers[b"content-length"]) > 0
    # Metrics count the first of the two.
    assert int(headers[b"content-length"]) == len(body) or path == "/metrics"
    assert headers[b"content-type"] == whole[b"content-type"]


@pytest.fixture
def client() -> Any:
    """Follows no redirect."""
    with TestClient(APP, raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{min(route.methods)} {route.path}")
def test_a_slash_at_the_end_changes_nothing(client: TestClient, route: Route) -> None:
    """No redirect, which would lose a proxy's scheme and prefix."""
    path = route.path.format_map(dict.fromkeys(route.param_convertors, "a"))
    method = min(route.methods or ())
    plain, slash = (client.request(method, each) for each in (path, f"{path}/"))
    assert slash.status_code == plain.status_code != 307
    assert slash.headers["content-type"] == plain.headers["content-type"]


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES} | {"/docs"}))
def test_a_method_that_is_not_taken_is_told_which_are(client: TestClient, path: str) -> None:
    """In the sentence and in the header."""
    address = re.sub(r"{\w+}", "a", path)
    taken = {method for route in ROUTES if route.path == path for method in route.methods or ()} or {"GET"}
    # `/sessions/steps` is the address of a session as well.
    others = {method for route in ROUTES if route.path_regex.match(address) for method in route.methods or ()}
    for method in {"GET", "POST", "PUT", "DELETE"} - taken - others:
        answer = client.request(method, address)
        assert answer.status_code == 405, method
        assert answer.json()["detail"] == f"this address takes {', '.join(sorted(taken))}, not {method}"
        allowed = set(answer.headers["allow"].split(", "))
        assert allowed == taken | ({"HEAD"} if "GET" in taken else set())


@pytest.mark.parametrize("path", ["/nothing", "/sentiment", "/healthz", "/docs", "/"])
def test_a_socket_at_another_address_is_told_where_they_are(client: TestClient, path: str) -> None:
    """404 with all of them."""
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(path):
        pass
    assert denied.value.status_code == 404
    told = denied.value.json()["detail"]
    known = "/caption, /compose, /generate, /sequence, /sessions, /sessions/{id}, /transcribe, /translate"
    assert told.endswith(f"only at {known}")


@pytest.mark.parametrize("path", [path for path in BODIES if path.startswith(("/sessions", "/steps"))])
def test_an_empty_body_of_an_action_on_a_session_is_an_empty_object(client: TestClient, path: str) -> None:
    """What must be given is named, and where all may be left out, nothing is wrong."""
    address = path.replace("{id}", "a")
    absent, empty = client.post(address), client.post(address, content=b"{}")
    assert absent.status_code == empty.status_code
    assert absent.json().get("errors") == empty.json().get("errors")
    assert (not absent.json().get("errors")) is (path in EMPTY)


@pytest.mark.parametrize("at", ["/docs", "/docs/"])
def test_the_documentation_works_behind_a_prefix(client: TestClient, at: str) -> None:
    """Behind a proxy that takes a prefix away, all that the page names has it, and so do its requests."""
    prefix = "http://proxy/models-here"
    for link in client.get(at).text.split('"')[1::2] + client.get(at).text.split("'")[1::2]:
        if "static-offline-docs" in link or link.endswith("openapi.json"):
            found = urljoin(prefix + at, link)
            assert found.startswith(f"{prefix}/")
            assert client.get(found.removeprefix(prefix)).status_code == 200
    (server,) = client.get("/openapi.json").json()["servers"]
    assert urljoin(f"{prefix}/openapi.json", server["url"]) == f"{prefix}/"
