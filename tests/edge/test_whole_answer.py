"""An answer that leaves in one write is, byte for byte, the one that ASGI's two messages would have made."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterable

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from app.edge.edge import AccessRules
from app.edge.http.http_exchange import Exchange, WholeAnswer
from app.edge.http.transports import RESPOND
from tests.edge.fake_service import FakeEdge, FakeService
from tests.edge.running import Line, Running

SITE = "https://dash.example"
FORECAST = json.dumps({"values": [1, 2, 3], "horizon": 2}).encode()
WRONG = json.dumps({"values": [1, 2, 3], "horizon": 0}).encode()
BODY = b"x" * 100
TRACE = b"0af7651916cd43dd8448eb211c80319c"


def request(
    body: bytes = FORECAST, *headers: bytes, method: bytes = b"POST", version: bytes = b"1.1"
) -> bytes:
    """A request for a forecast, as it is on the wire."""
    head = [
        method + b" /forecast HTTP/" + version,
        b"host: x",
        b"x-request-id: mine",
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join([*head, b"", body])


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What connections said to whole answers, in order."""
    told: list[bool] = []
    respond = WholeAnswer.__call__

    def watched(
        self: WholeAnswer, scope: Scope, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> bool:
        told.append(respond(self, scope, status, headers, body))
        return told[-1]

    monkeypatch.setattr(WholeAnswer, "__call__", watched)
    return told


class Plain:
    """An application that gives every request the same answer, whole if that is possible.

    Attributes:
        told: whether it was, each time.
    """

    def __init__(self, body: bytes = BODY) -> None:
        self.body = body
        self.told: list[bool] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at once."""
        if scope["type"] != "http":
            return
        headers = [(b"content-length", b"%d" % len(self.body)), (b"x-own", b"1")]
        respond = scope["extensions"][RESPOND]
        self.told.append(respond(scope, 200, headers, self.body))
        if not self.told[-1]:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": self.body})
        assert not respond(scope, 200, headers, self.body), "there is an answer already"
        assert (await receive())["type"] == "http.disconnect", "nothing more is read for it"


async def raw_answer(app: ASGIApp, asked: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """The answer to one request on a connection of its own, but for the date."""
    async with Running(app=app) as running, Line(running.port) as line:
        line.send(asked)
        status, headers, body = await line.answer()
        headers.pop(b"date")
        return status, headers, body


def counted(edge: FakeEdge, status: int) -> bool:
    """Whether one answer was counted, with that status."""
    text = edge.metrics.exposition()[0].decode()
    lines = [line for line in text.splitlines() if line.startswith("rnnserve_http_responses_total{")]
    return lines == [f'rnnserve_http_responses_total{{route="/forecast",status="{status}"}} 1.0']


@pytest.mark.parametrize(
    ("body", "full_for_s", "status", "is_whole"),
    [(FORECAST, None, 200, True), (FORECAST, 3.0, 503, True), (WRONG, None, 422, False)],
    ids=["good", "busy", "wrong"],
)
async def test_both_ways_say_the_same(
    monkeypatch: pytest.MonkeyPatch,
    told: list[bool],
    body: bytes,
    full_for_s: float | None,
    status: int,
    is_whole: bool,
) -> None:
    """Status, headers and body; the application's own, the server's and those of the middleware."""
    monkeypatch.setattr(FakeService, "full_for_s", lambda self, task: full_for_s)
    asked = request(body, b"traceparent: 00-" + TRACE + b"-b7ad6b7169203331-01")
    edges = [FakeEdge(), FakeEdge()]
    whole = await raw_answer(edges[0].app, asked)
    assert told == [True] * is_whole
    monkeypatch.setattr(WholeAnswer, "is_behind", lambda self, scope, send: False)
    parts = await raw_answer(edges[1].app, asked)
    assert told == [True] * is_whole
    for _, headers, _ in (whole, parts):
        # The rest of it is this server's own span, new each time.
        assert headers.pop(b"traceparent").startswith(b"00-" + TRACE)
    assert whole == parts
    assert whole[0].split()[1] == b"%d" % status
    assert whole[1][b"x-request-id"] == b"mine"
    assert all(counted(edge, status) for edge in edges)


async def test_requests_of_one_connection_are_answered_in_their_order(told: list[bool]) -> None:
    """Those that are sent without waiting for the answers; bad ones among them take the other way."""
    horizons = [value % 3 for value in range(20)]
    bodies = [json.dumps({"values": [value], "horizon": horizon}) for value, horizon in enumerate(horizons)]
    async with Running() as running, Line(running.port) as line:
        line.send(*[request(body.encode()) for body in bodies])
        for value, horizon in enumerate(horizons):
            status, _, body = await line.answer()
            if horizon:
                assert status == b"HTTP/1.1 200 OK"
                assert json.loads(body)["forecasts"][0]["mean"] == [value] * horizon
            else:
                assert status.startswith(b"HTTP/1.1 422 ")
        # Only the newest request that has come is answered in one write.
        assert told
        assert all(told)


@pytest.mark.parametrize(
    "asked", [request(FORECAST, b"connection: close"), request(version=b"1.0")], ids=["close", "http-1.0"]
)
async def test_a_connection_that_is_to_end_says_so_and_ends(told: list[bool], asked: bytes) -> None:
    """Its answer is complete, though it does not leave whole."""
    async with Running() as running, Line(running.port) as line:
        line.send(asked)
        status, headers, body = await line.answer()
        assert status.endswith(b"200 OK")
        assert headers[b"connection"] == b"close"
        assert json.loads(body)["forecasts"][0]["mean"] == [3, 3]
        assert await line.ended()
        assert told == [False]


async def test_a_page_of_an_allowed_site_may_read_the_answer(told: list[bool]) -> None:
    """What is around the routes for browsers sees both messages of every answer, and adds its headers."""
    app = FakeEdge(access=AccessRules(origins=(SITE,))).app
    async with Running(app=app) as running, Line(running.port) as line:
        for body in (FORECAST, WRONG):
            line.send(request(body, b"origin: " + SITE.encode()))
            _, headers, _ = await line.answer()
            assert headers[b"access-control-allow-origin"] == SITE.encode()
            assert b"Retry-After" in headers[b"access-control-expose-headers"]
            # A cache must not hand the answer to another site's page, nor another's to this one.
            assert headers[b"vary"] == b"Origin"
        assert told == []


async def test_a_head_has_no_body() -> None:
    """The next answer follows at once."""
    app = Plain()
    async with Running(app=app) as running, Line(running.port) as line:
        line.send(request(b"", method=b"HEAD"), request(b"", method=b"GET"))
        head, headers, _ = await line.answer(bodiless=True)
        status, whole, body = await line.answer()
        assert (head, headers) == (status, whole)
        assert body == BODY
        assert app.told == [False, True]


async def test_an_answer_that_comes_before_the_body_was_asked_for() -> None:
    """A client that waits for leave to send it has its answer instead."""
    app = Plain()
    async with Running(app=app) as running, Line(running.port) as line:
        line.send(request(FORECAST, b"expect: 100-continue").removesuffix(FORECAST))
        status, _, body = await line.answer()
        assert (status, body) == (b"HTTP/1.1 200 OK", BODY)
        line.send(FORECAST, request())
        assert (await line.answer())[0] == b"HTTP/1.1 200 OK", "and no leave afterwards"
        assert app.told == [True, True]


async def test_a_client_that_does_not_read_is_not_written_to() -> None:
    """What it has asked for waits where ASGI has it wait, and comes when it reads on."""
    app = Plain(b"x" * 2**20)
    async with Running(app=app) as running, Line(running.port) as line:
        while all(app.told) and len(app.told) < 100:
            before = len(app.told)
            line.send(request(b"", method=b"GET"))
            while len(app.told) == before:
                await asyncio.sleep(0.001)
        for _ in app.told[:]:
            _, _, body = await line.answer()
            assert body == app.body
        assert app.told[0]
        assert not app.told[-1]


async def test_nothing_of_a_request_outlives_its_answer() -> None:
    """Without the garbage collector: a cycle in each request would make it the only one to free memory."""
    async with Running() as running, Line(running.port) as line:
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                line.send(request())
                await line.answer()
            left = [one for one in gc.get_objects() if isinstance(one, Exchange)]
        finally:
            gc.enable()
        assert len(left) <= 1, "the connection knows its last one"
