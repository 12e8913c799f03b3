"""``GET /sessions/{id}/row``: the numbers of a state, for looking at them."""

from __future__ import annotations

import base64
import json
import struct

import httpx2
import numpy as np
import pytest


def open_fed(client: httpx2.Client, id: str, text: str) -> None:
    """A session of the default generator that has read a text."""
    assert client.post("/sessions", json={"id": id, "task": "generate"}).status_code == 201
    assert client.post(f"/sessions/{id}/steps", json={"inputs": text}).status_code == 200


def test_the_numbers_are_those_of_the_state(client: httpx2.Client) -> None:
    """By the names and shapes that the model's page gives, and to the digits that float32 has."""
    open_fed(client, "row-a", "hello")
    answer = client.get("/sessions/row-a/row").json()
    layout = client.get(f"/models/{answer['model']}").json()["state"]
    assert answer["step"] == 5
    assert [(one["name"], one["shape"]) for one in answer["fields"]] == [
        (one["name"], one["shape"]) for one in layout["fields"]
    ]
    payload = client.get("/sessions/row-a/state").json()["state"].split(".")[1]
    packed = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    (length,) = struct.unpack_from("<I", packed)
    size = json.loads(packed[4 : 4 + length])["row"]
    row = np.frombuffer(packed, np.float32, size, 4 + length)
    values = [value for one in answer["fields"] for value in one["values"]]
    assert len(values) == layout["size"] == size
    np.testing.assert_allclose(values, row, rtol=1e-6)


def test_single_fields_come_in_the_order_of_the_row(client: httpx2.Client) -> None:
    """However they are asked for."""
    open_fed(client, "row-b", "hi")
    names = [one["name"] for one in client.get("/sessions/row-b/row").json()["fields"]]
    assert len(names) >= 2
    fields = client.get(f"/sessions/row-b/row?fields={names[-1]},{names[0]}").json()["fields"]
    assert [one["name"] for one in fields] == [names[0], names[-1]]


def test_before_the_first_step_there_is_nothing(client: httpx2.Client) -> None:
    """Not zeros: the network may well start elsewhere."""
    client.post("/sessions", json={"id": "row-c", "task": "generate"})
    answer = client.get("/sessions/row-c/row").json()
    assert (answer["step"], answer["fields"]) == (0, [])


def test_looking_changes_nothing(client: httpx2.Client) -> None:
    """Neither the step nor the time until the session ends."""
    open_fed(client, "row-d", "abc")
    before = client.get("/sessions/row-d").json()
    client.get("/sessions/row-d/row")
    assert client.get("/sessions/row-d").json() == before


@pytest.mark.parametrize(
    ("query", "status", "field"), [("?fields=nothing.h", 422, "fields"), ("?field=x", 422, "field")]
)
def test_a_wrong_name_is_refused_with_those_there_are(
    client: httpx2.Client, query: str, status: int, field: str
) -> None:
    """As everywhere."""
    client.post("/sessions", json={"id": "row-e", "task": "generate"})
    answer = client.get(f"/sessions/row-e/row{query}")
    assert answer.status_code == status
    assert answer.json()["errors"][0]["field"] == field


def test_a_session_that_is_not_there_is_said_so(client: httpx2.Client) -> None:
    """404."""
    assert client.get("/sessions/row-none/row").status_code == 404
