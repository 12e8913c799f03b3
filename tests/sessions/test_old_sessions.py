"""Sessions that an earlier server left in LMDB and Redis go on; see tests/data/README.md."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from app.core.errors import SessionGone
from app.sessions import record
from app.sessions.limits import SessionLimits
from app.sessions.portable import StateSigner
from app.sessions.record import decode_record, encode_record
from app.sessions.schema import CreateSession
from app.sessions.service import SessionService
from app.sessions.steps.calls import StepCall
from app.sessions.stores import open_store
from app.sessions.stores.store import SessionStore
from tests.redis_server import RedisServer
from tests.rig import inference, sessions

FOLDER = Path(__file__).parent.parent
LEFT: dict[str, Any] = json.loads((FOLDER / "data" / "sessions.json").read_text("utf-8"))
OWNERS = {"text": "alice"}
NEXT: dict[str, tuple[Any, int]] = {"series": (121.5, 4), "text": ("a", 5), "fresh": ("B", 1)}
LAST: dict[str, tuple[Any, int]] = {"series": (None, 3), "text": ("ri", 3)}


def restored_lmdb(folder: Path) -> SessionStore:
    """The tables as the earlier server left them."""
    folder.mkdir()
    with lmdb.open(str(folder), max_dbs=5) as environment:
        for name, rows in LEFT["lmdb"].items():
            table = environment.open_db(name.encode())
            with environment.begin(db=table, write=True) as transaction:
                for key, value in rows:
                    transaction.put(base64.b64decode(key), base64.b64decode(value))
    return open_store(f"lmdb:{folder}", max_sessions=100)


def restored_redis(server: RedisServer) -> SessionStore:
    """The keys as the earlier server left them."""
    with server.client() as client:
        client.flushall()
        for name, held in LEFT["redis"].items():
            key, value = base64.b64decode(name), held["value"]
            if held["kind"] == "string":
                client.set(key, base64.b64decode(value))
            elif held["kind"] == "hash":
                client.hset(
                    key, mapping={base64.b64decode(one): base64.b64decode(other) for one, other in value}
                )
            else:
                client.zadd(key, {base64.b64decode(member): score for member, score in value})
    return open_store(server.url, max_sessions=100)


@pytest.fixture(params=["lmdb", "valkey"])
def left(
    request: pytest.FixtureRequest, tmp_path: Path, servers: Callable[[str], RedisServer]
) -> SessionStore:
    """A store with the sessions of the earlier server."""
    kind = str(request.param)
    return restored_lmdb(tmp_path / "state") if kind == "lmdb" else restored_redis(servers(kind))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The shipped bundles that they are on."""
    for name in ("forecaster", "names"):
        shutil.copytree(FOLDER.parent / "models" / name, tmp_path / "models" / name)
    return tmp_path / "models"


async def answer(service: SessionService, id: str, inputs: Any, seq: int) -> dict[str, Any]:
    """To one call."""
    (outcome,) = await service.steps([StepCall(id, inputs, seq)], OWNERS.get(id, ""))
    assert isinstance(outcome, bytes), outcome
    told: dict[str, Any] = json.loads(outcome)
    return told


def close(told: Any, expected: Any) -> bool:
    """Equal but for the last digits of its numbers, which another processor may round otherwise."""
    if isinstance(expected, dict):
        return told.keys() == expected.keys() and all(close(told[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(told) == len(expected) and all(map(close, told, expected))
    return bool(told == (pytest.approx(expected, rel=1e-4) if isinstance(expected, float) else expected))


async def test_sessions_of_an_earlier_server_go_on(left: SessionStore, models: Path) -> None:
    """A retry gets its stored answer, the next step the one that the earlier server would have given."""
    async with inference(models) as rig, sessions(rig, left, SessionLimits(), lambda: LEFT["now"]) as service:
        for id, (inputs, seq) in LAST.items():
            (outcome,) = await service.steps([StepCall(id, inputs, seq)], OWNERS.get(id, ""))
            assert outcome == LEFT["answers"][id].encode()
        for id, (inputs, seq) in NEXT.items():
            assert close(await answer(service, id, inputs, seq), json.loads(LEFT["following"][id]))
        with pytest.raises(SessionGone):
            await service.view("over")
        assert (await service.view("series")).metadata == {"site": "north"}
        assert [one.id for one in (await service.page("", 10)).sessions] == ["fresh", "series"]
        kept = (await service.history.snapshots("text", "alice")).snapshots
        names = {one.name: (one.step, one.automatic) for one in kept}
        assert names == {"early": (2, False), "step-2": (2, True), "step-4": (4, True)}
        assert (await service.history.rewind("text", "early", "alice")).step == 2
        again = await answer(service, "text", *LAST["text"])
        assert close(again, json.loads(LEFT["answers"]["text"]))


async def test_a_portable_state_of_an_earlier_server_opens(left: SessionStore, models: Path) -> None:
    """And is sealed to the same text."""
    signer = StateSigner(LEFT["secret"].encode())
    assert signer.seal(signer.open(LEFT["state"])) == LEFT["state"]
    secret = LEFT["secret"].encode()
    async with (
        inference(models) as rig,
        sessions(rig, left, clock=lambda: LEFT["now"], secret=secret) as service,
    ):
        await service.create(CreateSession(id="carried", state=LEFT["state"]))
        assert close(
            await answer(service, "carried", *NEXT["series"]), json.loads(LEFT["following"]["series"])
        )


def test_records_have_the_bytes_that_they_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an earlier server reads them too, in a rolling update."""
    for key, held in LEFT["lmdb"]["records"]:
        data = base64.b64decode(held)[8 + 17 :]  # behind the planned time and the store's header
        writer = re.search(rb'"writer":"([0-9a-f]{16})"', data)
        assert writer is not None
        monkeypatch.setattr(record, "_WRITER", writer[1].decode())
        id = base64.b64decode(key).decode().rpartition("/")[2]
        assert encode_record(decode_record(id, data)) == data
