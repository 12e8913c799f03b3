"""States of sessions: kept under names, gone back to, and carried by clients."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from app.core.errors import (
    InvalidInput,
    InvalidState,
    ModelMismatch,
)
from app.sessions.schema import CreateSession, StatelessRequest
from app.sessions.steps.calls import StepCall
from app.sessions.stores.memory import MemoryStore
from tests.rig import inference, sessions
from tests.sessions.bench import LIMITS, Bench, opened


async def test_rewinding_repeats_the_same_steps(bench: Bench) -> None:
    """To a name, to a step with an automatic snapshot, and to the start."""
    await bench.service.create(opened("tiny-text-lstm", id="s"))
    start = await bench.step("s", "abc", 1)
    kept = await bench.service.history.snapshot("s", "here")
    assert (kept.name, kept.step, kept.automatic) == ("here", 3, False)
    later = await bench.step("s", "defg", 4)
    names = [(one.name, one.step) for one in (await bench.service.history.snapshots("s")).snapshots]
    assert names == [("here", 3), ("step-7", 7)]
    assert (await bench.service.history.rewind("s", "here")).step == 3
    assert await bench.step("s", "defg", 4) == later
    assert (await bench.service.history.rewind("s", 7)).step == 7
    assert (await bench.service.history.rewind("s", 0)).step == 0
    assert await bench.step("s", "abc", 1) == start
    with pytest.raises(InvalidInput) as caught:
        await bench.service.history.rewind("s", "nowhere")
    assert caught.value.allowed == [0, "here", "step-7"]


async def test_named_snapshots_are_bounded_and_never_dropped(bench: Bench) -> None:
    """Automatic ones make room, the oldest first; a name is taken once."""
    await bench.service.create(opened("tiny-text-lstm", id="s"))
    await bench.service.history.snapshot("s", "one")
    for _ in range(6):
        await bench.step("s", "abcde")
    await bench.service.history.snapshot("s", "two")
    names = [one.name for one in (await bench.service.history.snapshots("s")).snapshots]
    assert names == ["one", "step-25", "step-30", "two"]
    for name in ("two", "three"):
        with pytest.raises(InvalidInput):
            await bench.service.history.snapshot("s", name)


async def test_a_state_travels(bench: Bench, tiny_models: Path) -> None:
    """Downloaded from one server and handed to another with the same key, it goes on to the same bits."""
    await bench.service.create(
        opened("tiny-series-gru", id="s", options={"freq": "D", "start": "2024-01-30"})
    )
    await bench.step("s", [1, 2, 4, 8])
    exported = await bench.service.states.export("s")
    expected = await bench.step("s", [3, 5])
    async with inference(tiny_models) as rig, sessions(rig, MemoryStore(5), LIMITS) as other:
        info = await other.create(CreateSession(id="t", state=exported.state))
        assert (info.step, info.model) == (4, "tiny-series-gru@1")
        (outcome,) = await other.steps([StepCall("t", [3, 5], 5)])
        assert isinstance(outcome, bytes)
        assert orjson.loads(outcome) == expected
        carried = await other.states.stateless(StatelessRequest(state=exported.state, inputs=[3, 5]))
        assert (carried.outputs, carried.step) == (expected["outputs"], 6)
        assert carried.state == (await bench.service.states.export("s")).state
        with pytest.raises(InvalidInput):
            await other.history.rewind("t", 0)


async def test_stateless_steps_equal_a_session(bench: Bench) -> None:
    """A client that carries its own state needs no session."""
    await bench.service.create(opened("tiny-mood-lstm", id="s"))
    state = None
    for text in ("a good", "film , not", "bad"):
        mine = await bench.step("s", text)
        model = "tiny-mood-lstm" if state is None else None
        theirs = await bench.service.states.stateless(StatelessRequest(model=model, state=state, inputs=text))
        assert (theirs.outputs, theirs.step) == (mine["outputs"], mine["step"])
        state = theirs.state
    assert bench.store.count() == 1


async def test_a_state_of_another_key_or_model_is_refused(bench: Bench, tiny_models: Path) -> None:
    """Altered, cut, foreign, or for a model that is not this one."""
    await bench.service.create(opened("tiny-text-lstm", id="s"))
    await bench.step("s", "abc")
    state = (await bench.service.states.export("s")).state
    middle = len(state) // 2
    altered = state[:middle] + ("A" if state[middle] != "A" else "B") + state[middle + 1 :]
    for text in (altered, state[:-5], state[5:], state.replace("rs1", "rs2"), ""):
        with pytest.raises(InvalidState):
            await bench.service.create(CreateSession(state=text))
    with pytest.raises(ModelMismatch):
        await bench.service.create(CreateSession(model="tiny-text-gru", state=state))
    async with inference(tiny_models) as rig, sessions(rig, MemoryStore(5), secret=b"other") as foreign:
        with pytest.raises(InvalidState):
            await foreign.create(CreateSession(state=state))
