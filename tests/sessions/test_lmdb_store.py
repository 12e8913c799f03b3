"""One LMDB directory under several real processes: kills, dead readers, a map that grows."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest
from lmdb.verify import verify

from app.core.errors import StoreUnavailable
from app.sessions.stores.lmdb import LmdbStore
from app.sessions.stores.store import Stored, Write
from tests.conftest import REPOSITORY
from tests.sessions.lmdb_process import IDS, NUM_FILLED, SMALL_MAP, filled, number_write

Process = subprocess.Popen[str]
StartProcess = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[StartProcess]:
    """Starts processes of ``lmdb_process``, which end with the test."""
    running: list[Process] = []

    def begin(*arguments: str | Path) -> Process:
        command = [sys.executable, "-m", "tests.sessions.lmdb_process", *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def first_line(process: Process) -> str:
    """Wait until it has begun."""
    assert process.stdout is not None
    return process.stdout.readline()


def acknowledged(process: Process, first: str) -> list[list[str]]:
    """Ids of each acknowledged group of a killed process."""
    text, _ = process.communicate()
    lines = [first, *text.splitlines(keepends=True)]
    assert all(line.endswith("\n") for line in lines)
    return [line.split()[1:] for line in lines]


def test_writers_killed_at_any_moment_lose_and_repeat_nothing(tmp_path: Path, start: StartProcess) -> None:
    """Three processes raise the same numbers and die one by one: each acknowledged raise is there once.

    Besides there is at most the group that each had in flight; the counts hold and the file is sound.
    """
    chance = random.Random(7)
    mine = LmdbStore(tmp_path, 100, map_bytes=SMALL_MAP)
    for _ in range(3):
        before = mine.get(IDS)
        processes = [start("count", tmp_path, f"{number}") for number in range(3)]
        firsts = [first_line(process) for process in processes]
        for process in processes:
            time.sleep(chance.uniform(0.02, 0.15))
            process.kill()
            # The next writer finds the lock of one that died, and goes on.
            writes = [number_write(id, held, "mine") for id, held in zip(IDS, mine.get(IDS), strict=True)]
            outcomes = mine.write(writes)
            firsts.append("mine " + " ".join(w.id for w, o in zip(writes, outcomes, strict=True) if o.ok))
        groups = [acknowledged(process, first) for process, first in zip(processes, firsts, strict=False)]
        acks = Counter(id for group in groups for ids in group for id in ids)
        acks.update(id for line in firsts[3:] for id in line.split()[1:])
        for id, held, old in zip(IDS, mine.get(IDS), before, strict=True):
            assert held is not None
            assert int(held.record[:8]) == held.revision
            raised = held.revision - (old.revision if old else 0)
            assert acks[id] <= raised <= acks[id] + 3
        live = [id for id, _ in mine.list_ids("", 100)]
        own = mine.get([f"own-{number}" for number in range(3)])
        assert mine.count() == len(live) == len(IDS) + sum(each.revision % 2 == 0 for each in own if each)
        mine.remove([(f"own-{number}", each.revision) for number, each in enumerate(own) if each])
    mine.close()
    assert verify(str(tmp_path)) == []  # type: ignore[no-untyped-call]  # lmdb left it untyped


def test_a_process_that_hangs_in_a_write_stops_no_other_for_ever(tmp_path: Path, start: StartProcess) -> None:
    """Writers are told after their time limit, readers read on, and its death sets the writers free."""
    store = LmdbStore(tmp_path, 10, timeout_s=0.05)
    store.write([Write("a", 0, Stored(1, 1.0, b""))])
    process = start("hold", tmp_path)
    assert first_line(process) == "ready\n"
    with pytest.raises(StoreUnavailable, match="another process"):
        store.write([Write("b", 0, Stored(1, 1.0, b""))])
    assert [held is not None for held in store.get(["a", "b"])] == [True, False]
    process.kill()
    process.wait()
    assert store.write([Write("b", 0, Stored(1, 1.0, b""))])[0].ok
    store.close()


def test_the_slot_of_a_dead_reader_is_freed_at_opening(tmp_path: Path, start: StartProcess) -> None:
    """Else the pages that it saw would be kept for ever, and the file would grow."""
    LmdbStore(tmp_path, 10).close()
    # Somebody has it open all the time: whoever finds it closed begins with fresh slots anyway.
    with lmdb.open(str(tmp_path), map_size=1 << 24) as env:
        process = start("read", tmp_path)
        assert first_line(process) == "ready\n"
        process.kill()
        process.wait()
        assert str(process.pid) in env.readers()
        assert first_line(start("fill", tmp_path)) == "ready\n"
        assert str(process.pid) not in env.readers()


def test_a_map_that_another_process_grew_is_followed(tmp_path: Path, start: StartProcess) -> None:
    """A store opened when the map was small reads and writes what was added by another process."""
    store = LmdbStore(tmp_path, 10_000, map_bytes=SMALL_MAP)
    assert store.get(["filled-0"]) == [None]
    assert first_line(start("fill", tmp_path)) == "ready\n"
    assert store.get([f"filled-{NUM_FILLED - 1}"]) == [filled(NUM_FILLED - 1).stored]
    more = [filled(number) for number in range(NUM_FILLED, 2 * NUM_FILLED)]
    assert all(outcome.ok for outcome in store.write(more))
    assert store.count() == 2 * NUM_FILLED
    store.close()


def test_a_group_larger_than_the_map_is_written_whole(tmp_path: Path) -> None:
    """The map grows as often as it must, and the group is applied once."""
    store = LmdbStore(tmp_path, 100, map_bytes=SMALL_MAP)
    writes = [Write(f"{number}", 0, Stored(1, 1e9, bytes(1 << 20))) for number in range(8)]
    assert [outcome.ok for outcome in store.write([*writes, Write("no", 3, Stored(4, 1.0, b""))])] == [
        *[True] * 8,
        False,
    ]
    assert store.count() == 8
    store.close()


def test_a_failed_environment_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of LMDB is told as such, with nothing written, and the next call works."""
    store = LmdbStore(tmp_path, 10)
    with monkeypatch.context() as patched:
        patched.setattr("app.sessions.stores.lmdb_tables.count", _fail_on_disk)
        with pytest.raises(StoreUnavailable, match="disk"):
            store.write([Write("a", 0, Stored(1, 1.0, b""))])
    assert store.get(["a"]) == [None]
    assert store.write([Write("a", 0, Stored(1, 1.0, b""))])[0].ok
    store.close()


def _fail_on_disk(*_: object) -> int:
    raise lmdb.DiskError("the disk failed")
