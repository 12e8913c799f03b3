"""Records kept in memory by several processes: nobody is ever answered from one that is out of date."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from app.core.errors import SequenceConflict, SessionGone
from app.sessions.record import SessionRecord, next_revision
from app.sessions.service import SessionService
from app.sessions.steps.calls import StepCall
from app.sessions.steps.record_cache import RecordCache
from app.sessions.stores.store import Stored
from tests.rig import sessions
from tests.sessions.bench import LIMITS, Bench, opened

MODEL = "tiny-text-lstm"


class Counting:
    """A session store that counts how many records are read."""

    def __init__(self, bench: Bench) -> None:
        self.read = 0
        self._get = bench.store.get
        bench.store.get = self.get  # type: ignore[method-assign]  # to count the reads

    def get(self, ids: Sequence[str]) -> list[Stored | None]:
        """As the store's."""
        self.read += len(ids)
        return self._get(ids)


@pytest.fixture
async def other(bench: Bench) -> AsyncIterator[SessionService]:
    """A second process on the same store."""
    async with sessions(bench.rig, bench.store, LIMITS, bench.clock) as service:
        yield service


async def applied(service: SessionService, *calls: StepCall) -> list[str]:
    """Calls submitted together; ``ok`` or the class of the error of each."""
    outcomes = await service.steps(calls)
    return ["ok" if isinstance(one, bytes) else type(one).__name__ for one in outcomes]


async def test_steps_in_a_row_read_the_store_once(bench: Bench) -> None:
    """What was just written need not be read; without a cache it is, every time."""
    await bench.service.create(opened(MODEL, id="a"))
    counting = Counting(bench)
    for seq in range(1, 6):
        assert await applied(bench.service, StepCall("a", [1], seq)) == ["ok"]
    assert counting.read == 1
    async with sessions(
        bench.rig, bench.store, LIMITS.model_copy(update={"session_cache_bytes": 0}), bench.clock
    ) as bare:
        for seq in range(6, 9):
            assert await applied(bare, StepCall("a", [1], seq)) == ["ok"]
    assert counting.read == 4


async def test_two_processes_that_take_turns_equal_one(bench: Bench, other: SessionService) -> None:
    """Each finds what the other wrote, with and without step numbers, and the answers are the same bytes."""
    for id in ("turns", "alone"):
        await bench.service.create(opened(MODEL, id=id))
    for step in range(1, 12):
        service = bench.service if step % 3 else other
        seq = step if step % 2 else None
        turns = await service.steps([StepCall("turns", [step % 4], seq)])
        alone = await bench.service.steps([StepCall("alone", [step % 4], step)])
        assert turns == alone
    rows = [(await bench.service.states.row(id)).fields for id in ("turns", "alone")]
    assert rows[0] == rows[1]


async def test_what_needs_no_write_is_answered_from_the_store(bench: Bench, other: SessionService) -> None:
    """A retry whose session has moved on, or ended, elsewhere is told so."""
    await bench.service.create(opened(MODEL, id="a"))
    assert await applied(bench.service, StepCall("a", [1], 1)) == ["ok"]
    assert await applied(other, StepCall("a", [2], 2)) == ["ok"]
    assert await applied(bench.service, StepCall("a", [1], 1)) == ["SequenceConflict"]
    assert await applied(bench.service, StepCall("a", [2], 2)) == ["ok"]  # the other's call, and its answer
    await other.close("a")
    assert await applied(bench.service, StepCall("a", [2], 2)) == ["SessionGone"]
    assert await applied(bench.service, StepCall("a", [1], 3)) == ["SessionGone"]


async def test_calls_on_an_old_record_are_begun_again(bench: Bench, other: SessionService) -> None:
    """Calls that came together keep their order when the first try met another process' write."""
    await bench.service.create(opened(MODEL, id="a"))
    assert await applied(bench.service, StepCall("a", [1], 1)) == ["ok"]
    assert await applied(other, StepCall("a", [1], 2)) == ["ok"]
    calls = [StepCall("a", [2], 2), StepCall("a", [1], 3), StepCall("a", [1]), StepCall("a", [1], 9)]
    # The one without a number fails with the failed one before it; those with numbers stand for themselves.
    assert await applied(bench.service, *calls) == ["SequenceConflict", "ok", *["SequenceConflict"] * 2]
    assert await applied(other, StepCall("a", [1], 4)) == ["ok"]
    bench.clock.now += 1
    assert await applied(bench.service, StepCall("a", [1]), StepCall("a", [1], 6)) == ["ok", "ok"]
    assert (await other.view("a")).step == 6


async def test_a_rewind_elsewhere_is_seen(bench: Bench, other: SessionService) -> None:
    """The next step is the one behind the snapshot, not the one behind the old record."""
    await bench.service.create(opened(MODEL, id="a"))
    for seq in range(1, 8):
        await applied(bench.service, StepCall("a", [1], seq))
    await other.history.rewind("a", "step-5")
    assert await applied(bench.service, StepCall("a", [1], 8)) == ["SequenceConflict"]
    assert await applied(bench.service, StepCall("a", [1], 6)) == ["ok"]


async def test_a_new_session_is_never_taken_for_a_forgotten_one(bench: Bench, other: SessionService) -> None:
    """An id that comes again after its tombstone has gone has revisions that nobody remembers."""
    await bench.service.create(opened(MODEL, id="a"))
    assert await applied(bench.service, StepCall("a", [1], 1)) == ["ok"]
    await other.close("a")
    bench.clock.now += LIMITS.session_tombstone_s + 1
    await other.sweep()
    await other.create(opened(MODEL, id="a"))
    assert await applied(other, StepCall("a", [3], 1)) == ["ok"]
    # At the same step as the record that is remembered, and yet another session.
    assert await applied(bench.service, StepCall("a", [1], 1)) == ["SequenceConflict"]
    assert await applied(bench.service, StepCall("a", [2], 2)) == ["ok"]
    fresh = await bench.service.create(opened(MODEL, id="b"))
    assert await applied(bench.service, StepCall(fresh.id, [3], 1), StepCall(fresh.id, [2], 2)) == [
        "ok",
        "ok",
    ]
    rows = [(await bench.service.states.row(id)).fields for id in ("a", "b")]
    assert rows[0] == rows[1]


async def test_an_expired_session_is_gone_though_it_is_remembered(bench: Bench) -> None:
    """Time runs for records in memory as well."""
    await bench.service.create(opened(MODEL, id="a", ttl_seconds=5))
    await bench.step("a", [1], 1)
    bench.clock.now += 6
    with pytest.raises(SessionGone):
        await bench.step("a", [1], 2)


async def test_a_conflict_from_memory_is_none(bench: Bench) -> None:
    """Wrong numbers are refused from the present state, and change nothing."""
    await bench.service.create(opened(MODEL, id="a"))
    await bench.step("a", [1], 1)
    for wrong in (3, 9):
        with pytest.raises(SequenceConflict) as caught:
            await bench.step("a", [1], wrong)
        assert (caught.value.step, caught.value.expected) == (1, 2)


def test_the_least_recently_used_records_make_room() -> None:
    """The bound is in bytes, and a record that is larger than all of it is not kept."""

    def record(id: str, width: int = 256) -> SessionRecord:
        return SessionRecord(
            id, "m@1", "0" * 64, 1, 1, 0.0, 0.0, 1.0, np.zeros(width, np.float32), np.zeros(1, np.float32)
        )

    cache = RecordCache(10_000)
    for id in "abc":
        cache.put(id, record(id))
    assert cache.get("a") is not None
    cache.put("d", record("d"))
    assert [id for id in "abcd" if cache.get(id) is not None] == ["a", "c", "d"]
    cache.put("c", record("c", 100_000))
    assert cache.get("c") is None
    cache.drop("a")
    cache.drop("a")
    assert [id for id in "abcd" if cache.get(id) is not None] == ["d"]


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    "previous", [0, 1, int(NOW * 1e6) + 5, int(NOW * 1e9), int(NOW * 1e9) + 3600 * 10**9]
)
def test_revisions_grow_and_never_meet_again(previous: int) -> None:
    """Two histories of one session that part are told apart, also within one moment and by a late clock."""
    histories = []
    for _ in range(2):
        revisions = [previous]
        for step in range(1000):
            revisions.append(next_revision(revisions[-1], NOW + step * 1e-4))
        assert revisions == sorted(set(revisions))
        assert revisions[1] >= int(NOW * 1e9)
        histories.append(revisions[1:])
    # By chance a pair meets in one of some million writes.
    assert len(set(histories[0]) & set(histories[1])) <= 1
    assert histories[0][-1] < 2**63


def test_revisions_of_a_later_session_are_larger() -> None:
    """By far more than a session can be written in between."""
    assert next_revision(0, NOW + 1) - next_revision(0, NOW) > 0.99 * 1e9
    assert next_revision(0, 0.0) >= 1
