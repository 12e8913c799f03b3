"""The life of a session, on tiny bundles, real engines and a store in memory."""

from __future__ import annotations

import pytest

from app.core.errors import (
    CorruptSession,
    InvalidInput,
    InvalidState,
    RnnserveError,
    SequenceConflict,
    SessionGone,
    StoreFull,
    UnknownModel,
    UnknownSession,
)
from app.sessions.schema import CreateSession, ForkRequest
from app.sessions.steps.calls import StepCall
from app.sessions.stores.store import Stored, Write
from tests.sessions.bench import Bench, opened


async def test_a_session_is_named_dated_and_found(bench: Bench) -> None:
    """Ids are made when not given, and a given one is refused while it is in use."""
    made = await bench.service.create(opened("tiny-text-lstm"))
    given = await bench.service.create(
        opened("tiny-text-lstm@1", id="mine", metadata={"a": [1]}, ttl_seconds=7)
    )
    assert len(made.id) >= 20
    assert given.model_dump() == (await bench.service.view("mine")).model_dump()
    assert (given.model, given.task, given.step) == ("tiny-text-lstm@1", "generate", 0)
    assert given.expires_at == "2023-11-14T22:13:27.000Z"
    with pytest.raises(SequenceConflict):
        await bench.service.create(opened("tiny-text-lstm", id="mine"))
    page = await bench.service.page("", 1)
    rest = await bench.service.page(page.next or "", 10)
    assert {one.id for one in [*page.sessions, *rest.sessions]} == {made.id, "mine"}


@pytest.mark.parametrize(
    ("request_", "error", "field"),
    [
        (CreateSession(model="nothing"), UnknownModel, None),
        (CreateSession(), InvalidInput, "model"),
        (CreateSession(model="tiny-text-lstm", options={"freq": "h"}), InvalidInput, "options.freq"),
        (CreateSession(model="tiny-series-lstm", options={"fraq": "h"}), InvalidInput, "options.fraq"),
        (CreateSession(model="tiny-series-lstm", options={"freq": 3}), InvalidInput, "options.freq"),
        (CreateSession(model="tiny-series-lstm", options={"season": 0}), InvalidInput, "options.season"),
        (
            CreateSession(model="tiny-series-lstm", options={"start": "2024-01-01"}),
            InvalidInput,
            "options.freq",
        ),
        (CreateSession(model="tiny-text-lstm", ttl_seconds=5000), InvalidInput, "ttl_seconds"),
        (CreateSession(model="tiny-text-lstm", metadata={"x": "y" * 5000}), InvalidInput, "metadata"),
        (CreateSession(model="tiny-text-lstm", metadata={"x": 2**70}), InvalidInput, "metadata"),
        (CreateSession(state="rs1.AAAA.AAAA"), InvalidState, None),
        (CreateSession(state="nonsense"), InvalidState, None),
        (CreateSession(state="rs1.é.b"), InvalidState, None),
    ],
)
async def test_sessions_that_cannot_be_opened_say_why(
    bench: Bench, request_: CreateSession, error: type[RnnserveError], field: str | None
) -> None:
    """By field, where a field is at fault."""
    with pytest.raises(error) as caught:
        await bench.service.create(request_)
    assert getattr(caught.value, "field", None) == field


async def test_sessions_expire_and_are_remembered_as_expired(bench: Bench) -> None:
    """At once when asked, by the sweep in the store, and forgotten after a while."""
    await bench.service.create(opened("tiny-text-lstm", id="s", ttl_seconds=10))
    bench.clock.now += 9
    await bench.step("s", "ab")
    bench.clock.now += 9
    assert await bench.service.sweep() in (0, 1)
    assert (await bench.service.view("s")).step == 2
    bench.clock.now += 2
    for _ in range(2):
        with pytest.raises(SessionGone) as caught:
            await bench.step("s", "c", 3)
        assert (caught.value.reason, caught.value.step) == ("expired", 2)
        await bench.service.sweep()
    assert bench.store.count() == 0
    assert bench.rig.counts.sessions.count("expired") == 1
    bench.clock.now += 60
    await bench.service.sweep()
    with pytest.raises(UnknownSession):
        await bench.service.view("s")


async def test_closing_ends_a_session_and_frees_its_id(bench: Bench) -> None:
    """410 with the reason and the last step; a new session may take the id and starts at zero."""
    await bench.service.create(opened("tiny-text-lstm", id="s"))
    await bench.step("s", "abcdef")
    await bench.service.close("s")
    for attempt in (bench.service.view("s"), bench.service.close("s"), bench.step("s", "x")):
        with pytest.raises(SessionGone) as caught:
            await attempt
        assert (caught.value.reason, caught.value.step) == ("closed", 6)
    await bench.service.create(opened("tiny-text-gru", id="s"))
    assert (await bench.service.view("s")).step == 0
    assert (await bench.service.history.snapshots("s")).snapshots == []


async def test_a_fork_goes_its_own_way(bench: Bench) -> None:
    """From the same state both give the same; afterwards neither sees the other."""
    await bench.service.create(opened("tiny-text-lstm", id="a", metadata={"k": 1}))
    await bench.step("a", "hello")
    fork = await bench.service.fork("a", ForkRequest(id="b"))
    assert (fork.step, fork.metadata, fork.model) == (5, {"k": 1}, "tiny-text-lstm@1")
    one, other = await bench.step("a", "xy", 6), await bench.step("b", "xy", 6)
    assert one == other
    await bench.step("b", "more")
    assert (await bench.service.view("a")).step == 7
    with pytest.raises(SequenceConflict):
        await bench.service.fork("a", ForkRequest(id="b"))


async def test_a_full_store_refuses_new_sessions_only(bench: Bench) -> None:
    """Those that are there go on."""
    for index in range(20):
        await bench.service.create(opened("tiny-text-lstm", id=f"s{index}"))
    with pytest.raises(StoreFull):
        await bench.service.create(opened("tiny-text-lstm"))
    await bench.step("s3", "a")
    await bench.service.close("s4")
    await bench.service.create(opened("tiny-text-lstm"))


async def test_another_owners_session_does_not_exist(bench: Bench) -> None:
    """Not to be read, stepped, listed or closed."""
    await bench.service.create(opened("tiny-text-lstm", id="s"), owner="alice")
    (outcome,) = await bench.service.steps([StepCall("s", "a")], owner="bob")
    assert isinstance(outcome, UnknownSession)
    with pytest.raises(UnknownSession):
        await bench.service.close("s", owner="bob")
    assert (await bench.service.page("", 10, owner="bob")).sessions == []
    assert (await bench.service.page("", 10, owner="alice")).sessions[0].id == "s"


async def test_a_damaged_record_is_a_loud_error(bench: Bench) -> None:
    """One flipped bit names the session; it is never restarted from zero."""
    await bench.service.create(opened("tiny-text-lstm", id="s"))
    await bench.step("s", "abc")
    (held,) = bench.store.get(["s"])
    assert held is not None
    bad = bytearray(held.record)
    bad[len(bad) // 2] ^= 1
    bench.store.write([Write("s", held.revision, Stored(held.revision + 1, held.expires_at, bytes(bad)))])
    with pytest.raises(CorruptSession, match="'s'"):
        await bench.step("s", "d")
    assert "corrupt" in bench.rig.counts.sessions
