"""Actions of tasks on sessions, on tiny bundles, real engines and a store in memory."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import orjson
import pytest

from app.core import large_answers
from app.core.errors import (
    InvalidInput,
    SequenceConflict,
)
from app.tasks.decoded.schema import DoneFrame, TokenFrame
from app.tasks.forecast.schema import ForecastFromState
from app.tasks.generate.actions import GENERATE, GenerateFromState, SessionDoneFrame
from app.tasks.generate.schema import GenerateRequest
from tests.bundles import HORIZON
from tests.sessions.bench import Bench, looked, opened


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


@pytest.mark.parametrize("in_parts", [False, True])
async def test_advancing_keeps_what_was_generated(
    bench: Bench, in_parts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is where feeding prompt and text would have left it; a retry gives the stored answer."""
    if in_parts:
        monkeypatch.setattr(large_answers, "_LARGE", 1)
        monkeypatch.setattr(large_answers, "_PART", 2)
    for id in ("a", "b"):
        await bench.service.create(opened("tiny-text-lstm", id=id))
        await bench.step(id, "one ")
    request = GenerateFromState(prompt="two ", max_tokens=10, seed=3, logprobs=2, advance=True, seq=5)
    body = await bench.service.actions.answer("a", GENERATE, request)
    answer = orjson.loads(body)
    assert answer["step"] == 18
    await bench.step("b", "two " + answer["choices"][0]["text"])
    a, b = await bench.service.states.export("a"), await bench.service.states.export("b")
    assert a.state == b.state
    assert await bench.service.actions.answer("a", GENERATE, request) == body
    with pytest.raises(SequenceConflict):
        await bench.service.actions.answer("a", GENERATE, request.model_copy(update={"seed": 4}))


async def test_a_request_that_takes_long_to_prepare_is_prepared_beside_the_event_loop(bench: Bench) -> None:
    """A short one is not."""
    loop, beside = threading.current_thread(), []

    def start(*given: Any) -> Any:
        beside.append(threading.current_thread() is not loop)
        assert GENERATE.start is not None
        return GENERATE.start(*given)

    await bench.service.create(opened("tiny-text-lstm", id="s"))
    for prompt in ("a", 12_000 * "a"):
        request = GenerateFromState(prompt=prompt, max_tokens=1)
        await bench.service.actions.answer("s", replace(GENERATE, start=start), request)
    assert beside == [False, True]


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
