"""The inference path on tiny bundles and real engines: finding, answering, stopping, counting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from app.core.errors import InvalidInput, Overloaded, UnknownModel
from app.engine.load import QueueLimits
from app.tasks.decoded.schema import DoneFrame, Frame, TextAnswer, TokenFrame
from app.tasks.decoded.stream import FrameAssembler
from app.tasks.forecast.schema import ForecastRequest
from app.tasks.generate.schema import GenerateRequest
from app.tasks.sentiment.schema import SentimentRequest
from tests.rig import Rig, inference


@pytest.fixture
async def rig(tiny_models: Path) -> AsyncIterator[Rig]:
    """All tiny bundles, served behind small queues."""
    async with inference(tiny_models, queue=QueueLimits(max_steps=20_000)) as rig:
        yield rig


async def test_models_are_found_by_name_version_or_default(rig: Rig) -> None:
    """And only for their own task."""
    find = rig.service.find
    assert find("forecast", None).manifest.name == "tiny-series-lstm"
    assert find("generate", "tiny-text-gru").manifest.reference == "tiny-text-gru@1"
    assert find("generate", "tiny-text-gru@1").manifest.reference == "tiny-text-gru@1"
    for task, model in (("generate", "tiny-mood-gru"), ("generate", "tiny-text-gru@2"), ("forecast", "x")):
        with pytest.raises(UnknownModel) as caught:
            find(task, model)
        assert repr(model) in caught.value.message
        assert all(name.startswith("tiny-") for name in caught.value.available)


async def test_each_task_answers_and_is_counted(rig: Rig) -> None:
    """A forecast, a sentiment and a text; each counted once under its model's reference."""
    forecast, timing = await rig.forecast(ForecastRequest(values=[1.0, 2.0, 4.0], horizon=3))
    assert len(forecast.forecasts[0].mean) == 3
    assert timing.total_s >= timing.compute_s > 0
    sentiment, _ = await rig.sentiment(SentimentRequest(text=["good", "bad film"]))
    assert [sum(result.scores.values()) for result in sentiment.results] == pytest.approx([1, 1], abs=1e-5)
    text, _ = await rig.generate(GenerateRequest(prompt="ab", max_tokens=9, seed=4))
    assert (len(text.choices[0].text), text.choices[0].finish_reason) == (9, "length")
    assert text.usage.model_dump() == {"prompt_tokens": 2, "completion_tokens": 9, "total_tokens": 11}
    assert rig.counts.requests == [
        ("forecast", "tiny-series-lstm@1", "ok"),
        ("sentiment", "tiny-mood-gru@1", "ok"),
        ("generate", "tiny-text-lstm@1", "ok"),
    ]
    # The tokens of the first wake-up have no gap before them, so they are not among the later ones.
    assert rig.counts.firsts == 1
    assert rig.counts.later < 9


async def test_a_seed_repeats_its_text_in_every_form(rig: Rig) -> None:
    """Whole or streamed, drawn seed or given one, alone or as one of several choices."""
    drawn, _ = await rig.generate(GenerateRequest(prompt="a", max_tokens=30))
    again, _ = await rig.generate(GenerateRequest(prompt="a", max_tokens=30, seed=drawn.seed))
    assert again.choices == drawn.choices
    streamed = "".join(
        [
            frame.text
            async for frame in await rig.stream(GenerateRequest(prompt="a", max_tokens=30, seed=drawn.seed))
            if isinstance(frame, TokenFrame)
        ]
    )
    assert streamed == drawn.choices[0].text
    three, _ = await rig.generate(GenerateRequest(prompt="a", max_tokens=30, seed=drawn.seed, n=3))
    assert three.choices[0] == drawn.choices[0]
    assert len({choice.text for choice in three.choices}) == 3


async def test_a_whole_answer_is_made_of_few_frames(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever steps the engine has told of, and it is what the frames of a stream say."""
    counted: list[int] = []
    answer = FrameAssembler.answer

    def count(assembler: FrameAssembler, frames: Sequence[Frame]) -> TextAnswer:
        counted.append(len(frames))
        return answer(assembler, frames)

    monkeypatch.setattr(FrameAssembler, "answer", count)
    request = GenerateRequest(prompt="ab", max_tokens=2000, n=3, seed=3, logprobs=1)
    whole, _ = await rig.generate(request)
    stream = await rig.stream(request)
    streamed = [frame async for frame in stream]
    assert stream.assembler.answer(streamed) == whole
    assert counted[0] < 100


async def test_a_stop_string_ends_the_text_before_it(rig: Rig) -> None:
    """Only that choice, and the log-probabilities end with the text."""
    free, _ = await rig.generate(GenerateRequest(max_tokens=60, seed=1))
    text = free.choices[0].text
    stop = text[20:22]
    cut, _ = await rig.generate(GenerateRequest(max_tokens=60, seed=1, stop=stop, logprobs=2))
    choice = cut.choices[0]
    assert (choice.text, choice.finish_reason) == (text[: text.find(stop)], "stop")
    assert choice.logprobs is not None
    assert "".join(entry.token for entry in choice.logprobs) == choice.text
    assert all(
        len(entry.top) == 2 and entry.top[0].logprob >= entry.top[1].logprob for entry in choice.logprobs
    )


async def test_stopping_a_stream_keeps_what_was_said(rig: Rig) -> None:
    """After stop() the done frame says ``stopped`` and nothing is left in the engine."""
    stream = await rig.stream(GenerateRequest(max_tokens=5_000, seed=1))
    text, done = "", None
    async for frame in stream:
        if isinstance(frame, TokenFrame):
            text += frame.text
            stream.stop()
        else:
            done = frame
    assert isinstance(done, DoneFrame)
    assert done.finish_reason == "stopped"
    assert 0 < len(text) < 5_000
    assert done.usage.completion_tokens == len(text)
    while not rig.idle:
        await asyncio.sleep(0.001)


async def test_a_reader_that_goes_away_frees_its_sequence(rig: Rig) -> None:
    """Cancelled while waiting, reading or preparing, or as a task: counted once, nothing left behind."""
    request = GenerateRequest(max_tokens=4_000)
    (await rig.stream(request)).cancel()
    task = asyncio.create_task(rig.generate(request))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    forecast = asyncio.create_task(rig.forecast(ForecastRequest(values=[1.0] * 9_000, horizon=1)))
    await asyncio.sleep(0.001)
    forecast.cancel()
    with pytest.raises(asyncio.CancelledError):
        await forecast
    long = asyncio.create_task(rig.generate(GenerateRequest(prompt="ab" * 20_000, max_tokens=10)))
    await asyncio.sleep(0)
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long
    while not rig.idle:
        await asyncio.sleep(0.001)
    assert [outcome for _, _, outcome in rig.counts.requests] == ["cancelled"] * 4


async def test_refusals_are_counted_by_whose_fault_they_are(rig: Rig) -> None:
    """A wrong field is the caller's, a full queue is capacity, and an invented name is no label."""
    with pytest.raises(InvalidInput):
        await rig.forecast(ForecastRequest(values=[1.0, 2.0], horizon=10_000))
    with pytest.raises(UnknownModel):
        await rig.sentiment(SentimentRequest(text=["good"], model="made-up"))
    with pytest.raises(Overloaded):
        await rig.forecast(ForecastRequest(values=[1.0] * 20_001, horizon=1))
    assert rig.counts.requests == [
        ("forecast", "tiny-series-lstm@1", "caller"),
        ("sentiment", "unknown", "caller"),
        ("forecast", "tiny-series-lstm@1", "capacity"),
    ]


async def test_many_series_answer_in_their_order(rig: Rig) -> None:
    """Two hundred series of mixed lengths give what each gives alone."""
    lengths = [2 + (7 * index) % 90 for index in range(200)]
    series = [
        {"id": str(i), "values": [float((i * k) % 17) for k in range(n)]} for i, n in enumerate(lengths)
    ]
    many, _ = await rig.forecast(ForecastRequest.model_validate({"series": series, "horizon": 4}))
    assert [forecast.id for forecast in many.forecasts] == [str(index) for index in range(200)]
    for index in (0, 57, 199):
        one, _ = await rig.forecast(
            ForecastRequest.model_validate({"values": series[index]["values"], "horizon": 4})
        )
        assert one.forecasts[0].quantiles == many.forecasts[index].quantiles
