"""Going on behind any event of a generation: nothing twice, nothing missing, whoever serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import InvalidInput, SequenceConflict
from app.sessions.schema import CreateSession
from app.sessions.service import SessionService
from app.sessions.steps.calls import StepCall
from app.sessions.stores.memory import MemoryStore
from app.tasks.decoded.resume import Given, ResumePoint, first_point, parse_point
from app.tasks.decoded.schema import DoneFrame, Frame, TokenFrame
from app.tasks.generate.actions import GENERATE, GenerateFromState
from app.tasks.generate.schema import GenerateRequest
from tests.rig import Rig, inference, sessions

REQUESTS = [
    {"prompt": "abc", "max_tokens": 40},
    {"prompt": "abc", "max_tokens": 30, "seed": 5, "n": 3, "logprobs": 2},
    # Stop strings hold text back, and their possible beginnings are everywhere.
    {"max_tokens": 40, "seed": 7, "stop": ["ab", "ba", "e.", "cdz", "xyz"], "n": 2},
    {"max_tokens": 60, "seed": 11, "stop": [letter + "qq" for letter in "abcdefgh"], "logprobs": 0},
    {"max_tokens": 1, "seed": 3, "n": 2},
]


@pytest.fixture
async def rig(tiny_models: Path) -> AsyncIterator[Rig]:
    """A service with real engines."""
    async with inference(tiny_models) as rig:
        yield rig


def texts(frames: list[Frame], n: int) -> list[tuple[str, list[Any]]]:
    """Of each choice the text and the log-probabilities."""
    parts: list[tuple[str, list[Any]]] = [("", []) for _ in range(n)]
    for frame in frames:
        if isinstance(frame, TokenFrame):
            text, listed = parts[frame.choice]
            parts[frame.choice] = (text + frame.text, [*listed, *(frame.logprobs or ())])
    return parts


@pytest.mark.parametrize("fields", REQUESTS)
async def test_the_rest_behind_any_event_is_the_rest(rig: Rig, fields: dict[str, Any]) -> None:
    """For every event of an answer: what came up to it and what comes behind it are the whole."""
    request = GenerateRequest(**fields)
    stream = await rig.stream(request)
    frames: list[Frame] = []
    ids: list[str] = [str(stream.event_id)]
    async for frame in stream:
        frames.append(frame)
        ids.append(str(stream.event_id))
    whole, done = texts(frames, request.n), frames[-1]
    assert isinstance(done, DoneFrame)
    for place, id in enumerate(ids[:-1]):
        point = parse_point(id)
        assert str(point) == id
        rest = [frame async for frame in await rig.stream(request, point)]
        before, after = texts(frames[:place], request.n), texts(rest, request.n)
        assert [(a + b, c + d) for (a, c), (b, d) in zip(before, after, strict=True)] == whole
        assert rest[-1] == done
        for frame in rest[:-1]:
            assert isinstance(frame, TokenFrame)
            if request.logprobs is not None:
                assert frame.index >= len(before[frame.choice][1])
    assert parse_point(ids[-1]).complete


async def test_a_point_of_another_request_is_refused(rig: Rig) -> None:
    """Another prompt, seed, model or number of texts; a place that cannot be; the header is named."""
    request = GenerateRequest(prompt="abc", max_tokens=9)
    point = first_point(request, "tiny-text-lstm@1", 4)
    (await rig.stream(request.model_copy(update={"stream": True}), point)).cancel()
    wrong = [
        (request.model_copy(update=change), point)
        for change in (
            {"prompt": "abd"},
            {"seed": 4},
            {"n": 2},
            {"max_tokens": 8},
            {"model": "tiny-text-gru"},
        )
    ]
    wrong.append((request, ResumePoint(4, point.request, "", (Given(10),))))
    wrong.append((request, ResumePoint(4, point.request, "", (Given(1), Given(1)))))
    for changed, behind in wrong:
        with pytest.raises(InvalidInput) as refused:
            await rig.stream(changed, behind)
        assert refused.value.field == "last-event-id"
    outcomes = [outcome for _, _, outcome in rig.counts.requests]
    assert outcomes == ["cancelled"] + ["caller"] * len(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "2.1.0123456789abcdef..1",
        "1.1.0123456789abcdef..",
        "1.x.0123456789abcdef..1",
        "1.1.0123456789ABCDEF..1",
        "1.1.0123456789abcdef.12.1",
        "1.1.0123456789abcdef..1-",
        "1.1.0123456789abcdef..-1",
        "1.1.0123456789abcdef..1ee",
        "1.1.0123456789abcdef..12345678901",
        f"1.{2**63}.0123456789abcdef..1",
        "1.1.0123456789abcdef..1\n",
        "1.\N{ARABIC-INDIC DIGIT ONE}.0123456789abcdef..1",
    ],
)
def test_what_is_no_point_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(InvalidInput):
        parse_point(text)


@pytest.fixture
async def service(rig: Rig) -> AsyncIterator[SessionService]:
    """Sessions in memory."""
    async with sessions(rig, MemoryStore(100)) as service:
        yield service


async def test_from_a_session_too_and_only_while_it_is_where_it_was(service: SessionService) -> None:
    """The rest comes as long as the session has not moved on; then it is a conflict."""
    id = (await service.create(CreateSession(task="generate"))).id
    await service.steps([StepCall(id, "abc")])
    request = GenerateFromState(prompt="d", max_tokens=30, n=2)
    stream = await service.actions.stream(id, GENERATE, request)
    frames: list[Frame] = []
    async for frame in stream:
        frames.append(frame)
        if len(frames) == 2:
            break
    point = parse_point(stream.event_id or "")
    stream.cancel()
    rest = [frame async for frame in await service.actions.stream(id, GENERATE, request, point=point)]
    whole = request.model_copy(update={"seed": point.seed})
    expected = [frame async for frame in await service.actions.stream(id, GENERATE, whole)]
    assert texts([*frames, *rest], 2) == texts(expected, 2)
    await service.steps([StepCall(id, "e")])
    with pytest.raises(SequenceConflict) as refused:
        await service.actions.stream(id, GENERATE, request, point=point)
    assert (refused.value.step, refused.value.expected) == (4, 5)


async def test_an_interrupted_text_that_is_to_be_kept_is_kept_whole(service: SessionService) -> None:
    """The session advances by all of it, and the stored answer has what came before the break too."""
    id = (await service.create(CreateSession(task="generate"))).id
    request = GenerateFromState(prompt="abc", max_tokens=30, advance=True, seq=1)
    stream = await service.actions.stream(id, GENERATE, request)
    frames: list[Frame] = [await anext(aiter(stream))]
    point = parse_point(stream.event_id or "")
    stream.cancel()
    assert (await service.view(id)).step == 0
    frames += [frame async for frame in await service.actions.stream(id, GENERATE, request, point=point)]
    assert (await service.view(id)).step == 33
    stored = await service.actions.answer(id, GENERATE, request)
    ((text, _),) = texts(frames, 1)
    assert f'"text":"{text}"'.encode() in stored.replace(b"\\n", b"\n")


@pytest.mark.parametrize("logprobs", [None, 0])
@pytest.mark.parametrize(
    "stop", [["a"], ["ab", "e"], ["bc", "cd", "de", "ef"], [letter + "qq" for letter in "abcdefgh"]]
)
async def test_the_end_of_a_text_that_stopped_is_given_again(
    service: SessionService, stop: list[str], logprobs: int | None
) -> None:
    """To the reader who lost the done event alone, wherever a stop string began; to no other."""
    stopped = 0
    for seed in range(12):
        id = (await service.create(CreateSession(task="generate"))).id
        request = GenerateFromState(
            prompt="abc", max_tokens=20, seed=seed, stop=stop, logprobs=logprobs, advance=True, stream=True
        )
        stream = await service.actions.stream(id, GENERATE, request)
        ids, frames = [], []
        async for frame in stream:
            ids.append(stream.event_id or "")
            frames.append(frame)
        stopped += frames[-1].finish_reason == "stop"
        if len(frames) > 1:
            again = await service.actions.stream(id, GENERATE, request, point=parse_point(ids[-2]))
            assert [frame async for frame in again] == frames[-1:]
            (given,) = parse_point(ids[-2]).given or ()
            assert given.size
            held_back = replace(given, size=given.size - 1, ended=False)
            point = replace(parse_point(ids[-2]), given=(held_back,))
            with pytest.raises(SequenceConflict):
                await service.actions.stream(id, GENERATE, request, point=point)
        for earlier in ids[:-2]:
            with pytest.raises(SequenceConflict):
                await service.actions.stream(id, GENERATE, request, point=parse_point(earlier))
    assert stopped > 0 or len(stop[0]) > 2


async def test_a_done_event_that_was_lost_is_given_again(service: SessionService) -> None:
    """With and without ``seq``, to the reader who has all before it; whoever lost more is told so."""
    id = (await service.create(CreateSession(task="generate"))).id
    for seq in (1, None):
        request = GenerateFromState(prompt="abc", max_tokens=5, advance=True, seq=seq, stream=True)
        stream = await service.actions.stream(id, GENERATE, request)
        ids: list[str] = []
        frames: list[Frame] = []
        async for frame in stream:
            ids.append(stream.event_id or "")
            frames.append(frame)
        again = await service.actions.stream(id, GENERATE, request, point=parse_point(ids[-2]))
        assert [frame async for frame in again] == frames[-1:]
        assert again.event_id == ids[-1]
        earlier = replace(parse_point(ids[-2]), given=(Given(2),))
        with pytest.raises(SequenceConflict):
            await service.actions.stream(id, GENERATE, request, point=earlier)
        other = request.model_copy(update={"prompt": "abd"})
        with pytest.raises((SequenceConflict, InvalidInput)):
            await service.actions.stream(id, GENERATE, other, point=parse_point(ids[-2]))
    assert (await service.view(id)).step == 16
