"""Sessions on tiny bundles, real engines and a store in memory: what each operation promises."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.core.errors import (
    CorruptSession,
    InvalidInput,
    InvalidState,
    ModelMismatch,
    RnnserveError,
    SequenceConflict,
    SessionGone,
    StoreFull,
    UnknownModel,
    UnknownSession,
)
from app.sessions.schema import CreateSession, ForkRequest, StatelessRequest
from app.sessions.steps.calls import StepCall
from app.sessions.stores.memory import MemoryStore
from app.sessions.stores.store import Stored, Write
from app.tasks.decoded.schema import DoneFrame, TokenFrame
from app.tasks.forecast.schema import ForecastFromState, ForecastRequest
from app.tasks.generate.actions import GENERATE, GenerateFromState, SessionDoneFrame
from app.tasks.generate.schema import GenerateRequest
from tests.bundles import HORIZON
from tests.rig import inference, sessions
from tests.sessions.bench import LIMITS, Bench, looked, opened


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


async def test_steps_equal_one_whole_request(bench: Bench) -> None:
    """A series fed in three calls ends in the forecast of the whole series, to the bit."""
    values: list[float | None] = [float((7 * k) % 11) for k in range(30)]
    await bench.service.create(
        opened("tiny-series-lstm", id="s", options={"freq": "h", "start": "2024-01-01T00:00"})
    )
    for first, last in ((0, 1), (1, 12), (12, 30)):
        answer = await bench.step("s", values[first:last], first + 1)
        assert (answer["seq"], answer["step"], len(answer["outputs"])) == (first + 1, last, last - first)
    ahead = await looked(bench.service, "s", ForecastFromState(horizon=HORIZON, levels=[80]))
    whole, _ = await bench.rig.forecast(
        ForecastRequest(values=values, horizon=HORIZON, levels=[80], freq="h", start="2024-01-01T00:00")
    )
    assert ahead.forecast.quantiles == whole.forecasts[0].quantiles
    assert ahead.forecast.timestamps == whole.forecasts[0].timestamps
    assert (ahead.step, ahead.forecast.id) == (30, "s")


async def test_a_value_is_judged_by_the_forecast_that_was_in_force(bench: Bench) -> None:
    """Each output shows the one-step forecast before the value; an outlier scores higher."""
    await bench.service.create(opened("tiny-series-lstm", id="s", options={"freq": "h"}))
    first = await bench.step("s", 10.0)
    assert first["outputs"] == [{"forecast": None, "quantile": None, "anomaly_score": None}]
    await bench.step("s", [11.0, 9.0, 10.0, None])
    before = await looked(bench.service, "s", ForecastFromState(horizon=1))
    normal = (await bench.step("s", before.forecast.quantiles["0.5"][0]))["outputs"][0]
    assert normal["forecast"] == {
        k: pytest.approx(v[0], rel=1e-6) for k, v in before.forecast.quantiles.items()
    }
    assert normal["quantile"] == pytest.approx(0.5, abs=1e-3)
    outlier = (await bench.step("s", 1e6))["outputs"][0]
    assert outlier["anomaly_score"] > 3 > normal["anomaly_score"]


async def test_times_fill_gaps_and_must_ascend(bench: Bench) -> None:
    """A missing hour becomes a missing step; a step back in time or off the grid is refused."""
    for id in ("gap", "null"):
        await bench.service.create(opened("tiny-series-lstm", id=id, options={"freq": "h"}))
    await bench.step(
        "gap", [{"value": 1, "time": "2024-01-01T00:00"}, {"value": 3, "time": "2024-01-01T02:00"}]
    )
    await bench.step("null", [{"value": 1, "time": "2024-01-01T00:00"}, None, 3])
    ask = ForecastFromState(horizon=2)
    gap, null = [(await looked(bench.service, id, ask)).forecast for id in ("gap", "null")]
    assert (gap.timestamps, gap.quantiles) == (null.timestamps, null.quantiles)
    assert gap.timestamps == ["2024-01-01T03:00:00", "2024-01-01T04:00:00"]
    assert (await bench.service.view("gap")).step == 2
    for time, reason in (
        ("2024-01-01T02:00", "ascend"),
        ("2024-01-01T03:30", "whole"),
        ("2030-01-01", "missing"),
    ):
        with pytest.raises(InvalidInput, match=reason):
            await bench.step("gap", {"value": 1, "time": time})


async def test_text_sessions_report_labels_and_log_probabilities(bench: Bench) -> None:
    """The running label is the stateless trace; log-probabilities are the sampler's own."""
    await bench.service.create(opened("tiny-mood-gru", id="mood"))
    labels = (await bench.step("mood", "a good film"))["outputs"]
    assert [one["token"] for one in labels] == ["a", "good", "film"]
    assert all(sum(one["scores"].values()) == pytest.approx(1, abs=1e-5) for one in labels)
    text, _ = await bench.rig.generate(
        GenerateRequest(model="tiny-text-gru", prompt="ab", max_tokens=5, seed=1, logprobs=0)
    )
    await bench.service.create(opened("tiny-text-gru", id="text"))
    assert (await bench.step("text", "ab"))["outputs"][0]["logprob"] is None
    fed = (await bench.step("text", text.choices[0].text))["outputs"]
    drawn = text.choices[0].logprobs or []
    assert [one["logprob"] for one in fed] == [one.logprob for one in drawn]


async def test_a_call_is_applied_exactly_once(bench: Bench) -> None:
    """The same seq and inputs again give the stored bytes; other inputs or numbers conflict."""
    await bench.service.create(opened("tiny-text-lstm", id="s"))
    (first,) = await bench.service.steps([StepCall("s", "abc", 1)])
    (again,) = await bench.service.steps([StepCall("s", "abc", 1)])
    assert again == first
    for inputs, seq in (("abd", 1), ("x", 2), ("x", 5)):
        with pytest.raises(SequenceConflict) as caught:
            await bench.step("s", inputs, seq)
        assert (caught.value.step, caught.value.expected) == (3, 4)
    await bench.step("s", "d", 4)
    with pytest.raises(SequenceConflict):
        await bench.step("s", "abc", 1)
    assert bench.rig.counts.steps == 4
    assert bench.rig.counts.sessions.count("replayed") == 1


async def test_two_clients_on_one_session_never_mix(bench: Bench) -> None:
    """Of many calls at once with the same seq exactly one is applied; the others are told."""
    await bench.service.create(opened("tiny-text-lstm", id="s"))
    outcomes = await asyncio.gather(
        *(bench.service.steps([StepCall("s", letter, 1)]) for letter in "abcdefgh")
    )
    applied = [index for index, (outcome,) in enumerate(outcomes) if isinstance(outcome, bytes)]
    assert len(applied) == 1
    assert all(isinstance(one, SequenceConflict) for i, (one,) in enumerate(outcomes) if i not in applied)
    await bench.service.create(opened("tiny-text-lstm", id="alone"))
    await bench.step("alone", "abcdefgh"[applied[0]])
    a, b = await bench.service.states.export("s"), await bench.service.states.export("alone")
    assert a.state == b.state


async def test_a_batch_answers_each_call_on_its_own(bench: Bench) -> None:
    """Unknown sessions, wrong inputs and conflicts fail alone; calls on one session keep their order."""
    for id in ("a", "b"):
        await bench.service.create(opened("tiny-text-lstm", id=id))
    await bench.service.create(opened("tiny-series-gru", id="c"))
    outcomes = await bench.service.steps(
        [
            StepCall("a", "x", 1),
            StepCall("nobody", "x", 1),
            StepCall("a", "y", 2),
            StepCall("b", "x", 7),
            StepCall("c", [1, "two"], 1),
            StepCall("c", [1, 2], 1),
            StepCall("a", "z", 2),
        ]
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [bytes, UnknownSession, bytes, SequenceConflict, InvalidInput, bytes, SequenceConflict]
    assert (await bench.service.view("a")).step == 2


@pytest.mark.parametrize(
    ("model", "inputs", "field"),
    [
        ("tiny-series-lstm", [], "inputs"),
        ("tiny-series-lstm", ["1"], "inputs.0"),
        ("tiny-series-lstm", True, "inputs"),
        ("tiny-series-lstm", [1, 1e31], "inputs.1"),
        ("tiny-series-lstm", {"value": 1, "tiem": "x"}, "inputs"),
        ("tiny-series-lstm", {"value": 1, "time": "x"}, "inputs.time"),
        ("tiny-series-lstm", {"value": 1, "time": "2024-01-01"}, "inputs.time"),
        ("tiny-series-lstm", [0] * 41, "inputs"),
        ("tiny-text-lstm", "", "inputs"),
        ("tiny-text-lstm", [], "inputs"),
        ("tiny-text-lstm", [5, 10_000], "inputs.1"),
        ("tiny-text-lstm", [True], "inputs.0"),
        ("tiny-text-lstm", 5, "inputs"),
        ("tiny-text-lstm", "a" * 41, "inputs"),
        ("tiny-mood-gru", "   ", "inputs"),
    ],
)
async def test_wrong_inputs_name_the_element_and_change_nothing(
    bench: Bench, model: str, inputs: Any, field: str
) -> None:
    """Whole or not at all."""
    await bench.service.create(opened(model, id="s"))
    with pytest.raises(InvalidInput) as caught:
        await bench.step("s", inputs, 1)
    assert caught.value.field == field
    assert (await bench.service.view("s")).step == 0


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


async def test_generating_from_a_state_equals_sending_the_history(bench: Bench) -> None:
    """Same seed, same text, however the history arrived; nothing is written."""
    await bench.service.create(opened("tiny-text-lstm", id="s"))
    await bench.step("s", "once up")
    whole, _ = await bench.rig.generate(
        GenerateRequest(prompt="once upon", max_tokens=20, seed=9, n=3, logprobs=1, model="tiny-text-lstm")
    )
    request = GenerateFromState(prompt="on", max_tokens=20, seed=9, n=3, logprobs=1)
    prompted = orjson.loads(await bench.service.actions.answer("s", GENERATE, request))
    await bench.step("s", "on")
    unprompted = orjson.loads(
        await bench.service.actions.answer(
            "s", GENERATE, GenerateFromState(max_tokens=20, seed=9, n=3, logprobs=1)
        )
    )
    expected = whole.model_dump()["choices"]
    assert prompted["choices"] == unprompted["choices"] == expected
    assert (await bench.service.view("s")).step == 9


@pytest.mark.parametrize("stop", [[], ["a"], ["ab"], ["e", "th"]])
async def test_stop_strings_end_a_text_from_a_state_too(bench: Bench, stop: list[str]) -> None:
    """Also when the first token, which is drawn from the state, completes one."""
    await bench.service.create(opened("tiny-text-rnn", id="s"))
    await bench.step("s", "the ")
    for seed in range(6):
        whole, _ = await bench.rig.generate(
            GenerateRequest(prompt="the ", max_tokens=30, seed=seed, stop=stop, model="tiny-text-rnn")
        )
        body = await bench.service.actions.answer(
            "s", GENERATE, GenerateFromState(max_tokens=30, seed=seed, stop=stop)
        )
        assert orjson.loads(body)["choices"] == whole.model_dump()["choices"]


async def test_advancing_keeps_what_was_generated(bench: Bench) -> None:
    """The session is where feeding prompt and text would have left it; a retry gives the stored answer."""
    for id in ("a", "b"):
        await bench.service.create(opened("tiny-text-lstm", id=id))
        await bench.step(id, "one ")
    request = GenerateFromState(prompt="two ", max_tokens=10, seed=3, advance=True, seq=5)
    body = await bench.service.actions.answer("a", GENERATE, request)
    answer = orjson.loads(body)
    assert answer["step"] == 18
    await bench.step("b", "two " + answer["choices"][0]["text"])
    a, b = await bench.service.states.export("a"), await bench.service.states.export("b")
    assert a.state == b.state
    assert await bench.service.actions.answer("a", GENERATE, request) == body
    with pytest.raises(SequenceConflict):
        await bench.service.actions.answer("a", GENERATE, request.model_copy(update={"seed": 4}))


async def test_a_streamed_continuation_ends_after_the_session_has_advanced(bench: Bench) -> None:
    """When the done frame comes, the session holds its step; a cancelled one leaves it as it was."""
    await bench.service.create(opened("tiny-text-lstm", id="s"))
    stream = await bench.service.actions.stream(
        "s", GENERATE, GenerateFromState(max_tokens=12, seed=1, advance=True)
    )
    text, done = "", None
    async for frame in stream:
        if isinstance(frame, TokenFrame):
            text += frame.text
        else:
            done = frame
    assert isinstance(done, SessionDoneFrame)
    assert isinstance(done, DoneFrame)
    assert done.step == (await bench.service.view("s")).step == len(text) + 1
    gone = await bench.service.actions.stream("s", GENERATE, GenerateFromState(max_tokens=30, advance=True))
    async for _ in gone:
        break
    gone.cancel()
    assert (await bench.service.view("s")).step == done.step


async def test_a_session_that_moves_on_does_not_take_an_old_text(bench: Bench) -> None:
    """A step that comes first wins over a generation that was to advance."""
    await bench.service.create(opened("tiny-text-lstm", id="s"))
    stream = await bench.service.actions.stream(
        "s", GENERATE, GenerateFromState(max_tokens=39, advance=True, seed=1)
    )
    await bench.step("s", "abc")
    with pytest.raises(SequenceConflict):
        async for _ in stream:
            pass
    assert (await bench.service.view("s")).step == 3


async def test_questions_that_a_model_cannot_answer_are_refused(bench: Bench) -> None:
    """A language model forecasts nothing, a forecaster without observations neither, nor does it write."""
    await bench.service.create(opened("tiny-text-lstm", id="text"))
    await bench.service.create(opened("tiny-series-lstm", id="series"))
    for id in ("text", "series"):
        with pytest.raises(InvalidInput):
            await looked(bench.service, id, ForecastFromState(horizon=1))
    with pytest.raises(InvalidInput):
        await bench.service.actions.answer("series", GENERATE, GenerateFromState())
    await bench.step("series", [1, 2])
    with pytest.raises(InvalidInput):
        await looked(bench.service, "series", ForecastFromState(horizon=HORIZON + 1))
    with pytest.raises(InvalidInput):
        await bench.service.actions.answer("text", GENERATE, GenerateFromState(max_tokens=41, advance=True))


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
