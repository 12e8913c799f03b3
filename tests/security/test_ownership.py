"""Sessions belong to the key that made them: for every other key they do not exist."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.e2e.server import ServerProcess
from tests.security.conftest import Caller, KeyFile

ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/sessions/{id}", None),
    ("GET", "/sessions/{id}/state", None),
    ("GET", "/sessions/{id}/row", None),
    ("GET", "/sessions/{id}/snapshots", None),
    ("POST", "/sessions/{id}/snapshots", {"name": "calm"}),
    ("POST", "/sessions/{id}/rewind", {"to": 0}),
    ("POST", "/sessions/{id}/migrate", {"model": "tiny-text-lstm@1"}),
    ("POST", "/sessions/{id}/fork", {}),
    ("POST", "/sessions/{id}/steps", {"inputs": "ab"}),
    ("POST", "/sessions/{id}/forecast", {"horizon": 2}),
    ("POST", "/sessions/{id}/generate", {"prompt": "a", "max_tokens": 2}),
    ("POST", "/sessions/{id}/generate", {"prompt": "a", "max_tokens": 2, "stream": True}),
    ("POST", "/sessions/{id}/compose", {"steps": 2}),
    ("DELETE", "/sessions/{id}", None),
]


def headers_of(keys: KeyFile, name: str) -> dict[str, str]:
    """Of a handshake."""
    return {"authorization": f"Bearer {keys.keys[name]}"}


def open_session(client: httpx2.Client, id: str, task: str = "generate") -> str:
    """A session under this id, with a step."""
    assert client.post("/sessions", json={"task": task, "id": id}).status_code == 201
    inputs = "a" if task == "generate" else 1.0
    assert client.post(f"/sessions/{id}/steps", json={"inputs": inputs}).status_code == 200
    return id


def test_the_list_above_has_every_route_of_a_session(guarded: ServerProcess) -> None:
    """A route that is added later is tested too, or this fails."""
    with guarded.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    served = {
        (method.upper(), path) for path, item in paths.items() if "/sessions/{id}" in path for method in item
    }
    assert served == {(method, path) for method, path, _ in ROUTES}


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_a_session_of_another_key_is_not_there(caller: Caller, method: str, path: str, body: Any) -> None:
    """404 as for one that never was, word for word, and nothing happens to it; its owner has it."""
    alice, bob = caller("alice"), caller("bob")
    theirs = open_session(alice, "of-alice")
    try:
        answers = [bob.request(method, path.replace("{id}", id), json=body) for id in (theirs, "of-nobody")]
        problems = [answer.json() for answer in answers]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert problems[0]["type"] == "urn:rnnserve:problem:unknown-session"
        for problem, id in zip(problems, (theirs, "of-nobody"), strict=True):
            problem.pop("request_id")
            problem["detail"] = problem["detail"].replace(id, "")
        assert problems[0] == problems[1]
        assert alice.get(f"/sessions/{theirs}").json()["step"] == 1
        own = alice.request(method, path.replace("{id}", theirs), json=body)
        assert own.status_code in (200, 201, 204, 422), own.text
    finally:
        alice.delete(f"/sessions/{theirs}")


def test_many_steps_tell_nothing_of_others_sessions(caller: Caller) -> None:
    """One request on one's own and another's session: each is answered on its own."""
    alice, bob = caller("alice"), caller("bob")
    theirs, own = open_session(alice, "many-a"), open_session(bob, "many-b")
    calls = [{"id": theirs, "inputs": "b"}, {"id": own, "inputs": "b"}]
    results = bob.post("/sessions/steps", json={"steps": calls}).json()["results"]
    assert results[0]["error"]["status"] == 404
    assert results[1]["step"] == 2
    assert alice.get(f"/sessions/{theirs}").json()["step"] == 1


def test_two_keys_use_one_id_each_for_itself(caller: Caller) -> None:
    """Nobody learns which ids others have taken, and nobody can take one away."""
    alice, bob = caller("alice"), caller("bob")
    for client in (alice, bob):
        open_session(client, "boiler-7", "forecast")
    alice.post("/sessions/boiler-7/steps", json={"inputs": 2.0})
    assert [client.get("/sessions/boiler-7").json()["step"] for client in (alice, bob)] == [2, 1]
    assert bob.delete("/sessions/boiler-7").status_code == 204
    assert alice.get("/sessions/boiler-7").status_code == 200
    assert bob.get("/sessions/boiler-7").status_code == 410
    assert alice.post("/sessions", json={"task": "forecast", "id": "boiler-7"}).status_code == 409


def test_a_list_has_ones_own_sessions_alone(caller: Caller) -> None:
    """However the pages are cut, and the page's cursor names no session of others."""
    alice, bob = caller("alice"), caller("bob")
    for number in range(5):
        open_session(alice, f"list-a{number}")
        open_session(bob, f"list-b{number}")
    for client, mine, others in ((alice, "list-a", "list-b"), (bob, "list-b", "list-a")):
        found, after = [], "list-"
        for _ in range(20):
            page = client.get("/sessions", params={"after": after, "limit": 2}).json()
            assert others not in json.dumps(page)
            found += [one["id"] for one in page["sessions"]]
            after = page["next"]
            if after is None:
                break
        assert after is None
        assert [id for id in found if id.startswith("list-")] == [f"{mine}{number}" for number in range(5)]


def test_a_state_travels_between_keys_when_its_holder_wants(caller: Caller) -> None:
    """Whoever has the text has the state; the new session is the opener's."""
    alice, bob = caller("alice"), caller("bob")
    open_session(alice, "travels", "forecast")
    state = alice.get("/sessions/travels/state").json()["state"]
    assert bob.post("/sessions", json={"id": "travels-too", "state": state}).status_code == 201
    assert alice.get("/sessions/travels-too").status_code == 404


def test_a_stream_is_resumed_by_its_owner_alone(caller: Caller) -> None:
    """The id of an event is no way around the key."""
    alice, bob = caller("alice"), caller("bob")
    open_session(alice, "resumed")
    body = {"prompt": "a", "max_tokens": 8, "stream": True, "seed": 1}
    events = alice.post("/sessions/resumed/generate", json=body).text
    place = next(line[4:] for line in events.splitlines() if line.startswith("id: "))
    resume = {"last-event-id": place}
    assert bob.post("/sessions/resumed/generate", json=body, headers=resume).status_code == 404
    assert alice.post("/sessions/resumed/generate", json=body, headers=resume).status_code == 200


async def test_sockets_carry_ones_own_sessions_alone(
    guarded: ServerProcess, keys: KeyFile, caller: Caller
) -> None:
    """``WS /sessions/{id}`` is refused, and a call on ``WS /sessions`` answered, as over HTTP."""
    open_session(caller("alice"), "socket-a", "forecast")
    url = guarded.url.replace("http", "ws", 1) + "/sessions"
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{url}/socket-a", additional_headers=headers_of(keys, "bob"))
    assert refused.value.response.status_code == 404
    async with connect(f"{url}/socket-a", additional_headers=headers_of(keys, "alice")) as socket:
        assert json.loads(await socket.recv())["step"] == 1
        await socket.send(json.dumps({"type": "step", "inputs": 2.0}))
        assert json.loads(await socket.recv())["step"] == 2
    async with connect(url, additional_headers=headers_of(keys, "bob")) as socket:
        await socket.send(json.dumps({"type": "step", "id": "socket-a", "inputs": 3.0}))
        frame = json.loads(await socket.recv())
        assert (frame["type"], frame["status"]) == ("error", 404)
    async with connect(url, additional_headers=headers_of(keys, "alice")) as socket:
        await socket.send(json.dumps({"type": "step", "id": "socket-a", "inputs": 3.0}))
        assert json.loads(await socket.recv())["step"] == 3


async def test_the_end_of_a_session_is_told_to_its_owner_alone(
    guarded: ServerProcess, keys: KeyFile, caller: Caller
) -> None:
    """Both feed a session of the same id; only the one whose session is closed hears of it."""
    url = guarded.url.replace("http", "ws", 1) + "/sessions"
    sockets = {}
    for name in ("alice", "bob"):
        open_session(caller(name), "ends", "forecast")
        sockets[name] = await connect(url, additional_headers=headers_of(keys, name))
        await sockets[name].send(json.dumps({"type": "step", "id": "ends", "inputs": 2.0}))
        assert json.loads(await sockets[name].recv())["step"] == 2
    caller("alice").delete("/sessions/ends")
    heard = json.loads(await sockets["alice"].recv())
    assert (heard["type"], heard["id"], heard["reason"]) == ("expired", "ends", "closed")
    await sockets["bob"].send(json.dumps({"type": "step", "id": "ends", "inputs": 3.0}))
    assert json.loads(await sockets["bob"].recv())["step"] == 3
    for socket in sockets.values():
        await socket.close()


async def test_the_generation_socket_needs_no_session(guarded: ServerProcess, keys: KeyFile) -> None:
    """It holds no state of anybody."""
    url = guarded.url.replace("http", "ws", 1) + "/generate"
    async with connect(url, additional_headers=headers_of(keys, "bob")) as socket:
        await socket.send(json.dumps({"prompt": "a", "max_tokens": 1}))
        assert json.loads(await socket.recv())["type"] in ("token", "done")


def test_a_sequence_of_the_open_inference_protocol_is_its_callers(caller: Caller) -> None:
    """Two callers count their sequences from 1, as its clients do, and never meet."""

    def infer(name: str, text: str, **parameters: bool) -> httpx2.Response:
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
        body = {"inputs": [tensor], "parameters": {"sequence_id": 1, **parameters}}
        return caller(name).post("/v2/models/tiny-mood-gru/infer", json=body)

    assert infer("alice", "a", sequence_start=True).status_code == 200
    assert 400 <= infer("bob", "b").status_code < 500
    assert infer("bob", "b", sequence_start=True).status_code == 200
    assert infer("bob", "b", sequence_end=True).status_code == 200
    assert infer("alice", "a").status_code == 200
