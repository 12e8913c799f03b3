"""Sessions that suggest how a translation goes on: small records, any replica, after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lmdb
import pytest

from tests.conftest import SHIPPED
from tests.e2e.server import ServerProcess

SENTENCE = "A man in a red jacket rides a bicycle on the street."
OPTIONS = {"text": SENTENCE, "source": "en", "target": "de"}
PARTS = ["Ein", " Mann in", " einer roten Jacke", " fährt"]


def fed(server: ServerProcess, id: str, parts: list[str]) -> list[dict[str, Any]]:
    """The outputs of the steps."""
    found: list[dict[str, Any]] = []
    with server.client() as client:
        for part in parts:
            answer = client.post(f"/sessions/{id}/steps", json={"inputs": part})
            assert answer.status_code == 200, answer.text
            found += answer.json()["outputs"]
    return found


def opened(server: ServerProcess, id: str) -> None:
    """A session on the sentence."""
    with server.client() as client:
        body = {"task": "translate", "id": id, "options": OPTIONS}
        client.post("/sessions", json=body).raise_for_status()


def test_a_session_goes_on_after_a_kill_as_if_nothing_had_been(tmp_path: Path) -> None:
    """On another server with another memory: the same suggestions to the bit, from a state below 4 KB."""
    flags = {"tasks": "translate", "skip_bad_models": True, "state_dir": tmp_path}
    with ServerProcess(SHIPPED, **flags) as server:
        opened(server, "whole")
        whole = fed(server, "whole", PARTS)
        opened(server, "broken")
        first = fed(server, "broken", PARTS[:2])
        server.kill()
    with lmdb.open(str(tmp_path), max_dbs=8) as tables, tables.begin(tables.open_db(b"records")) as table:
        sizes = {key: len(value) for key, value in table.cursor()}
    assert sizes.keys() == {b"whole", b"broken"}
    assert max(sizes.values()) < 4096
    with ServerProcess(SHIPPED, **flags) as server:
        assert first + fed(server, "broken", PARTS[2:]) == whole
        with server.client() as client:
            client.post("/sessions/broken/fork", json={"id": "other"}).raise_for_status()
            state = client.get("/sessions/broken/state").json()["state"].split(".")[1]
        assert fed(server, "other", [" auf"]) == fed(server, "broken", [" auf"])
    assert whole[-1]["next"][0]["token"].strip() in ("auf", "Fahrrad", "mit", "ein")
    assert len(state) * 3 / 4 < 4096


def test_what_may_begin_is_told_before_anything_is_fed(translator: ServerProcess) -> None:
    """An empty text asks for it, once."""
    opened(translator, "empty")
    (output,) = fed(translator, "empty", [""])
    assert output["next"][0]["token"].strip() == "Ein"
    with translator.client() as client:
        assert client.post("/sessions/empty/steps", json={"inputs": ""}).status_code == 422
    assert fed(translator, "empty", ["Ein"])[0]["logprob"] == pytest.approx(
        output["next"][0]["logprob"], abs=1e-5
    )


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "options.text"),
        ({"text": "A dog. A cat."}, "options.text"),
        ({"text": ""}, "options.text"),
        ({"text": SENTENCE, "target": "fr"}, "target"),
        ({"text": "dog " * 200, "source": "en"}, "options.text"),
        ({"text": SENTENCE, "beams": 2}, "options.beams"),
    ],
)
def test_a_session_is_refused_with_the_option_that_is_wrong(
    translator: ServerProcess, options: dict[str, Any], field: str
) -> None:
    with translator.client() as client:
        answer = client.post("/sessions", json={"task": "translate", "options": options})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    if not options:
        assert answer.json()["detail"] == "options.text: the field is required"
    if "beams" in options:
        assert answer.json()["detail"] == "options.beams: unknown field"
