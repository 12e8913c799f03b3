"""API keys at the border of a real server."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.edge.http.access import KEY_SUBPROTOCOL, PUBLIC
from app.protocols.oip import OIP
from rnnserve_client import Client, Problem
from tests.e2e.server import ServerProcess
from tests.security.conftest import Caller, KeyFile

FORECAST = {"series": [{"values": [1, 2, 3]}], "horizon": 2}
# A changed file is noticed within a second.
PATIENCE_S = 20.0


def test_requests_without_a_valid_key_are_refused(guarded: ServerProcess, keys: KeyFile) -> None:
    """401 with the problem, the header that says what is missing, and no hint of which keys there are."""
    wrong = [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer nonsense"},
        {"authorization": f"Basic {keys.keys['alice']}"},
        {"authorization": f"Bearer {keys.keys['alice']}x"},
        {"authorization": f"Bearer {keys.keys['alice'][:-1]}"},
        {"x-api-key": "nonsense"},
    ]
    with guarded.client() as client:
        for headers in wrong:
            for method, path in (
                ("POST", "/forecast"),
                ("GET", "/sessions"),
                ("GET", "/metrics"),
                ("GET", "/no"),
            ):
                answer = client.request(method, path, headers=headers, json=FORECAST)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.headers["content-type"] == "application/problem+json"
                problem = answer.json()
                assert problem["type"] == "urn:rnnserve:problem:unauthenticated"
                assert problem["request_id"] == answer.headers["x-request-id"]
        expired = client.get("/models", headers={"x-api-key": keys.keys["carol"]})
        assert (expired.status_code, expired.json()["detail"]) == (401, "this API key has expired")


def test_a_valid_key_opens_the_service_by_either_header(guarded: ServerProcess, keys: KeyFile) -> None:
    """The scheme's case does not count."""
    key = keys.keys["alice"]
    with guarded.client() as client:
        for headers in (
            {"authorization": f"Bearer {key}"},
            {"authorization": f"bearer {key}"},
            {"x-api-key": key},
        ):
            assert client.post("/forecast", json=FORECAST, headers=headers).status_code == 200


def test_what_tells_nothing_is_public(guarded: ServerProcess) -> None:
    """Health for those who probe, the page and the documentation; not what is served, and not the metrics."""
    with guarded.client() as client:
        for path in PUBLIC - {"/favicon.ico"} | {"/healthz/"} | set(OIP.health):
            assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 200, path
        for path in ("/models", "/models/", "/metrics", "/metrics/", "/page", "/%2fhealthz", "/healthz%00"):
            assert client.get(path).status_code == 401, path
        for path in ("/docs/%2e%2e/models", "/page/%2e%2e/models", "/static-offline-docs/%2e%2e/models"):
            assert client.get(path).status_code == 404, path


def test_the_documentation_says_how_to_send_a_key(guarded: ServerProcess, one_model: Path) -> None:
    """And what is answered without, for each route as it is; servers without keys say nothing of it."""
    with guarded.client() as client:
        document = client.get("/openapi.json").json()
        assert set(document["components"]["securitySchemes"]) == {"bearer", "key"}
        for path, item in document["paths"].items():
            if "{" in path:
                continue
            for method, operation in item.items():
                status = str(client.request(method.upper(), path).status_code)
                assert ("security" in operation) == (status == "401") == ("401" in operation["responses"]), (
                    path
                )
                assert status in operation["responses"], path
    with ServerProcess(one_model) as server, server.client() as client:
        assert "securitySchemes" not in client.get("/openapi.json").text


@pytest.mark.parametrize(
    ("path", "shape"), [("/v1/models", "openai"), ("/v2/models/x", "oip"), ("/models", "problem")]
)
def test_each_protocol_gets_its_own_error(guarded: ServerProcess, path: str, shape: str) -> None:
    """Clients of these protocols read the body that they know."""
    with guarded.client() as client:
        answer = client.get(path)
    assert answer.status_code == 401
    body = answer.json()
    if shape == "openai":
        assert body["error"]["code"] == "invalid_api_key"
    elif shape == "oip":
        assert isinstance(body["error"], str)
    else:
        assert body["status"] == 401


def test_only_an_admin_changes_what_is_served(caller: Caller) -> None:
    """403 for other keys, before anything is looked at."""
    for path in ("/admin/models", "/v2/repository/models/tiny-mood-gru/load"):
        refused = caller("alice").post(path)
        assert refused.status_code == 403
        assert caller("root").post(path).status_code not in (401, 403)


async def test_sockets_take_the_key_in_a_header_or_in_an_offer(guarded: ServerProcess, keys: KeyFile) -> None:
    """Browsers can only offer subprotocols; the answer is ours, never the one with the key."""
    key = keys.keys["alice"]
    offer = KEY_SUBPROTOCOL + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
    url = guarded.url.replace("http", "ws", 1)
    for path in ("/generate", "/sessions"):
        async with connect(url + path, additional_headers={"authorization": f"Bearer {key}"}) as socket:
            assert socket.subprotocol is None
        async with connect(url + path, subprotocols=["rnnserve", offer]) as socket:  # type: ignore[list-item]  # a str all the same
            assert socket.subprotocol == "rnnserve"
            if path == "/generate":
                await socket.send(json.dumps({"prompt": "a", "max_tokens": 2}))
                assert json.loads(await socket.recv())["type"] in ("token", "done")
        for wrong in ([], ["rnnserve"], ["rnnserve", offer[:-8]], ["rnnserve", KEY_SUBPROTOCOL + "!"]):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url + path, subprotocols=wrong or None)  # type: ignore[arg-type]  # likewise
            assert refused.value.response.status_code == 401
            assert refused.value.response.headers["www-authenticate"] == "Bearer"
            assert json.loads(refused.value.response.body)["status"] == 401


async def test_the_client_hands_in_its_key(guarded: ServerProcess, keys: KeyFile) -> None:
    """On requests, streams and lines."""
    async with Client(guarded.url, key=keys.keys["alice"]) as client:
        session = await client.create(task="forecast")
        await session.feed([1.0, 2.0])
        async with client.connect() as line:
            assert (await line.feed(session, 3.0)).step == 3
        await session.close()
    async with Client(guarded.url, key="nonsense") as client:
        with pytest.raises(Problem) as refused:
            await client.create(task="forecast")
        assert refused.value.status == 401


async def ends_with(socket: ClientConnection, message: object) -> int:
    """The close code that is the answer to a message."""
    await socket.send(json.dumps(message))
    with pytest.raises(ConnectionClosed) as closed:
        await asyncio.wait_for(socket.recv(), PATIENCE_S)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def test_a_key_that_is_taken_out_stops_working(guarded: ServerProcess, keys: KeyFile) -> None:
    """Requests at once when the file has been read; a socket at its next message. Others notice nothing."""
    key = keys.add("dave")
    until = time.monotonic() + PATIENCE_S
    async with httpx2.AsyncClient(base_url=guarded.url, headers={"x-api-key": key}) as client:
        while (await client.get("/models")).status_code != 200:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
        url = guarded.url.replace("http", "ws", 1) + "/sessions"
        theirs = connect(url, additional_headers={"x-api-key": key})
        others = connect(url, additional_headers={"x-api-key": keys.keys["alice"]})
        async with theirs as socket, others as other:
            marker = {"type": "marker", "marker": "m"}
            for one in (socket, other):
                await one.send(json.dumps(marker))
                assert json.loads(await one.recv())["type"] == "marker"
            keys.remove("dave")
            while (await client.get("/models")).status_code != 401:
                assert time.monotonic() < until
                await asyncio.sleep(0.1)
            assert await ends_with(socket, marker) == 1008
            await other.send(json.dumps(marker))
            assert json.loads(await other.recv()) == marker


def test_no_key_is_in_the_log_or_the_metrics(guarded: ServerProcess, keys: KeyFile, caller: Caller) -> None:
    """Neither valid ones nor what was sent for one; refusals are there, with the address."""
    with guarded.client() as client:
        client.get("/models", headers={"authorization": "Bearer rnnserve_almost"})
        client.get(f"/models?key={keys.keys['alice']}", headers={"x-api-key": "rnnserve_almost"})
    metrics = caller("alice").get("/metrics").text
    log = guarded.log
    assert "127.0.0.1 was refused" in log
    for secret in (*keys.keys.values(), "rnnserve_almost"):
        assert secret not in log
        assert secret not in metrics
