"""What a real server logs: a line for each answer when that is wanted, ids, and no payload."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import ServerProcess
from tests.telemetry.conftest import DEFAULT

TRACE = "0af7651916cd43dd8448eb211c80319c"
PRIVATE = "qqprivateqq"


def lines_of(server: ServerProcess) -> list[dict[str, Any]]:
    """Its lines as JSON; the greeting is for people."""
    return [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]


def ask(server: ServerProcess) -> None:
    """A request that is answered and one that is refused, with payloads and ids."""
    headers = {"x-request-id": "mine-1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    with server.client() as client:
        answer = client.post("/sentiment", json={"text": PRIVATE}, headers=headers)
        assert answer.headers["x-request-id"] == "mine-1"
        assert answer.headers["traceparent"].split("-")[1] == TRACE
        assert client.post(f"/forecast?{PRIVATE}=1", json={"values": [PRIVATE]}).status_code == 422
        assert client.get(f"/sessions/{PRIVATE}").status_code == 404


def test_each_answer_has_a_line_when_that_is_wanted(tiny_models: Path) -> None:
    """With its ids, and with the template of its path; nothing that the client wrote is in any line."""
    with ServerProcess(tiny_models, default=DEFAULT, access_log=True, log_format="json") as server:
        ask(server)
        server.stop()
        answers = [line for line in lines_of(server) if line["event"] == "request"]
    told = [(line["method"], line["route"], line["status"]) for line in answers]
    assert told == [("POST", "/sentiment", 200), ("POST", "/forecast", 422), ("GET", "/sessions/{id}", 404)]
    assert (answers[0]["request_id"], answers[0]["trace_id"]) == ("mine-1", TRACE)
    assert "trace_id" not in answers[1]
    assert answers[1]["request_id"] != answers[2]["request_id"]
    assert all(0 < line["seconds"] < 60 for line in answers)
    assert PRIVATE not in server.log


@pytest.mark.parametrize("level", ["info", "debug"])
def test_by_default_answers_have_no_lines_and_payloads_are_in_none(tiny_models: Path, level: str) -> None:
    """Not even at the most talkative level."""
    with ServerProcess(tiny_models, default=DEFAULT, log_level=level, log_format="json") as server:
        ask(server)
        server.stop()
        server.wait_for_log("access log off; --access-log logs a line for each answer\n")
        assert all(line["event"] != "request" for line in lines_of(server))
    assert PRIVATE not in server.log
