"""A process that shares an LMDB store with the test that started it: ``python -m ... JOB FOLDER NAME``.

Jobs: ``count`` raises numbers in shared sessions until it is killed and says each raise that was
acknowledged; ``read`` and ``hold`` stop in a reading and a writing transaction; ``fill`` writes more than a
small map holds, and ends.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import lmdb

from app.sessions.stores.lmdb import LmdbStore
from app.sessions.stores.store import Stored, Write

IDS = tuple(f"shared-{number}" for number in range(6))
SMALL_MAP = 1 << 17
NUM_FILLED = 300
PADDING = b"\xab" * 3000


def number_write(id: str, held: Stored | None, writer: str) -> Write:
    """The next number of a session; its record says it and its writer, and is larger than a page.

    The writer's name is in it because the same bytes from two writers would both count as applied.
    """
    number = int(held.record[:8]) + 1 if held else 1
    return Write(id, number - 1, Stored(number, 1e9, b"%08d" % number + writer.encode() + PADDING * 2))


def filled(number: int) -> Write:
    """One of the sessions that ``fill`` makes."""
    return Write(f"filled-{number}", 0, Stored(1, 1e9, b"%d" % number + PADDING))


def count(folder: Path, name: str) -> None:
    """Raise numbers for ever; a session of the process's own comes and goes to move the live count."""
    store = LmdbStore(folder, 100, map_bytes=SMALL_MAP)
    own = 0
    while True:
        writes = [number_write(id, held, name) for id, held in zip(IDS, store.get(IDS), strict=True)]
        own += 1
        writes.append(Write(f"own-{name}", own - 1, Stored(own, 1e9, b"own"), live=own % 2 == 0))
        outcomes = store.write(writes)
        assert outcomes.pop().ok, "nobody else writes it"
        applied = [write.id for write, outcome in zip(writes, outcomes, strict=False) if outcome.ok]
        # One write of the pipe: a kill leaves whole lines.
        sys.stdout.write(" ".join(["ack", *applied]) + "\n")
        sys.stdout.flush()


def read(folder: Path) -> None:
    """Hold a reader slot until killed."""
    with lmdb.open(str(folder), max_dbs=4).begin():
        print("ready", flush=True)
        time.sleep(600)


def hold(folder: Path) -> None:
    """Stop in the middle of a write until killed."""
    store = LmdbStore(folder, 10)
    store._run(True, _stop)


def _stop(*_: object) -> None:
    print("ready", flush=True)
    time.sleep(600)


def fill(folder: Path) -> None:
    """Outgrow the map."""
    store = LmdbStore(folder, 10_000, map_bytes=SMALL_MAP)
    assert all(outcome.ok for outcome in store.write([filled(number) for number in range(NUM_FILLED)]))
    store.close()
    print("ready", flush=True)


if __name__ == "__main__":
    job, place = sys.argv[1], Path(sys.argv[2])
    if job == "count":
        count(place, sys.argv[3])
    elif job == "read":
        read(place)
    elif job == "hold":
        hold(place)
    else:
        fill(place)
