"""An LMDB store whose file is deleted, replaced, emptied, cut short or damaged says which it is."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import lmdb
import pytest
from lmdb.verify import verify

from app.core.errors import ConfigurationError, StoreDamaged, StoreUnavailable
from app.sessions.stores import lmdb_tables
from app.sessions.stores.lmdb import DATA_FILE, LmdbStore
from app.sessions.stores.store import Stored, Write
from app.sessions.stores.worker import StoreWorker
from tests.e2e.server import ServerProcess

PAGE = 4096
IDS = [f"id-{number}" for number in range(100)]


def put(id: str, size: int = 600) -> Write:
    """A new session whose record can be told from others."""
    return Write(id, 0, Stored(1, 1e10, f"<{id}>".encode() + b"r" * size))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with sessions that was closed."""
    store = LmdbStore(tmp_path / "state", 1000)
    store.write([put(id) for id in IDS])
    store.close()
    return tmp_path / "state"


def cut(size: Callable[[int], int]) -> Callable[[Path], None]:
    """Makes a file as short as a function of its size."""
    return lambda file: os.truncate(file, size(file.stat().st_size))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut(lambda size: 0), "data.mdb is empty; stop the servers that use it and restore"),
        (cut(lambda size: size // 2), "data.mdb is cut short, .* bytes; stop the servers"),
        (cut(lambda size: size - PAGE), "data.mdb is cut short"),
        (cut(lambda size: size - 1), "data.mdb is cut short"),
        (cut(lambda size: 2 * PAGE), "data.mdb is cut short"),
        (cut(lambda size: PAGE), "MDB_INVALID"),
        (cut(lambda size: 100), "MDB_INVALID"),
        (lambda file: file.write_bytes(b"not a database " * 1000), "MDB_INVALID"),
    ],
)
def test_a_file_that_is_not_whole_stops_the_start(
    folder: Path, spoil: Callable[[Path], None], message: str
) -> None:
    """It is neither mapped, which would kill the process later, nor begun anew."""
    spoil(folder / DATA_FILE)
    before = (folder / DATA_FILE).read_bytes()
    with pytest.raises(ConfigurationError, match=message):
        LmdbStore(folder, 1000)
    assert (folder / DATA_FILE).read_bytes() == before


def test_a_missing_end_of_free_pages_is_no_fault(folder: Path) -> None:
    """LMDB itself leaves them unwritten at times."""
    store = LmdbStore(folder, 1000)
    store.remove([(id, 1) for id in IDS[1:]])
    for revision in range(1, 5):  # so that pages move towards the beginning
        store.write([Write(IDS[0], revision, Stored(revision + 1, 1e10, b"kept"))])
    store.close()
    file = folder / DATA_FILE
    whole = size = file.stat().st_size
    while True:
        held = file.read_bytes()
        os.truncate(file, size - PAGE)
        if verify(str(folder)):  # type: ignore[no-untyped-call]  # lmdb left it untyped
            file.write_bytes(held)
            break
        size -= PAGE
    assert size < whole
    store = LmdbStore(folder, 1000)
    assert [held is not None for held in store.get(IDS[:2])] == [True, False]
    assert all(outcome.ok for outcome in store.write([put(f"more-{number}") for number in range(300)]))
    store.close()
    assert verify(str(folder)) == []  # type: ignore[no-untyped-call]  # lmdb left it untyped


@pytest.mark.parametrize("successor", ["none", "empty", "another"])
def test_nothing_is_acknowledged_into_a_file_that_is_gone(folder: Path, successor: str) -> None:
    """Also when another has taken its place; when it is put back, all goes on."""
    store = LmdbStore(folder, 1000)
    aside = folder.with_name("aside")
    folder.rename(aside)
    if successor != "none":
        folder.mkdir()
        (folder / DATA_FILE).touch()
    if successor == "another":
        (folder / DATA_FILE).unlink()
        LmdbStore(folder, 10).close()
    for ask in (lambda: store.write([put("new")]), lambda: store.get(["new"]), store.check):
        with pytest.raises(StoreUnavailable, match="deleted or replaced in use; stop the servers"):
            ask()
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    assert store.get(IDS[:1]) == [put(IDS[0]).stored]
    store.close()


def damage(folder: Path, id: str) -> None:
    """Overwrite the page that holds a record, which has it for itself."""
    data = bytearray((folder / DATA_FILE).read_bytes())
    at = data.index(f"<{id}>".encode() + b"r")
    page = at - at % PAGE
    data[page : page + PAGE] = b"\xab" * PAGE
    (folder / DATA_FILE).write_bytes(data)


async def test_a_damaged_page_is_told_to_those_alone_who_need_it(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As what no retry cures, and it is logged; others that came together with them are answered."""
    damage(folder, IDS[40])
    worker = StoreWorker(LmdbStore(folder, 1000))
    worker.start(asyncio.get_running_loop())
    answers = await asyncio.gather(*(worker.get([id]) for id in IDS), return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    assert isinstance(answers[40], StoreDamaged)
    assert "data.mdb is damaged" in str(answers[40])
    assert all(isinstance(error, StoreDamaged) for error in failed)
    assert 1 <= len(failed) <= 8  # as many as share a page
    assert caplog.text.count("the session store fails: data.mdb is damaged") == 1
    assert "Traceback" not in caplog.text
    await worker.close()


def test_a_server_whose_folder_is_deleted_says_so(tiny_models: Path, tmp_path: Path) -> None:
    """No step is acknowledged any more, and it is not ready."""
    state = tmp_path / "state"
    with ServerProcess(tiny_models, state_dir=state) as server, server.client() as client:
        assert client.post("/sessions", json={"task": "forecast", "id": "a"}).status_code == 201
        assert client.post("/sessions/a/steps", json={"seq": 1, "inputs": 1}).status_code == 200
        shutil.rmtree(state)
        answer = client.post("/sessions/a/steps", json={"seq": 2, "inputs": 1})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        assert answer.json()["type"] == "urn:rnnserve:problem:store-unavailable"
        server.wait_for_metric("rnnserve_session_store_up", 0)
        assert client.get("/readyz").status_code == 503
        assert client.post("/forecast", json={"values": [1, 2, 3], "horizon": 1}).status_code == 200
    server.wait_for_log("the session store fails: data.mdb was deleted or replaced in use")


def test_a_server_on_a_damaged_store_answers_with_500(tiny_models: Path, folder: Path) -> None:
    with ServerProcess(tiny_models, state_dir=folder) as server, server.client() as client:
        assert client.post("/sessions", json={"task": "forecast", "id": "a"}).status_code == 201
    damage(folder, IDS[40])
    with ServerProcess(tiny_models, state_dir=folder) as server, server.client() as client:
        answer = client.get(f"/sessions/{IDS[40]}")
        assert answer.status_code == 500
        assert answer.json()["type"] == "urn:rnnserve:problem:store-damaged"
        assert "retry-after" not in answer.headers
        assert client.post("/sessions/a/steps", json={"seq": 1, "inputs": 1}).status_code == 200
        assert client.get("/readyz").status_code == 200
    assert "Traceback" not in server.log


@pytest.mark.parametrize("free", [0, 10**9])
async def test_a_full_disk_is_called_so(
    free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """LMDB says "Input/output error" of it; the caller and the log are told more, and the store goes on."""
    store = LmdbStore(tmp_path / "state", 10)
    worker = StoreWorker(store)
    worker.start(asyncio.get_running_loop())

    def fail(*_: object) -> None:
        raise lmdb.Error("mdb_txn_commit: Input/output error")

    with monkeypatch.context() as full:
        full.setattr(lmdb_tables, "write", fail)
        full.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
        with pytest.raises(StoreUnavailable, match="Input/output error") as told:
            await worker.write([put("a")])
    assert ("(the disk is full)" in told.value.message) == (free == 0)
    assert told.value.message in caplog.text
    assert [each.ok for each in await worker.write([put("a")])] == [True]
    await worker.close()
