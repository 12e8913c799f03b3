"""Frames to chunks with a ticket whose events are scripted, for what real timing decides otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from app.protocols.openai.answer import CompletionWriter
from app.protocols.openai.completion import prepare_completions
from app.protocols.openai.completion_stream import CompletionStream
from app.protocols.openai.order import order_of

from app.bundle.reader import read_bundle
from app.core.limits import Limits
from app.core.sequence import Event, Finished, FinishReason, Token, Tokens, Usage
from app.features.text import TextCodec
from app.protocols.openai.schema import Completion, CompletionRequest
from app.service.call import Call
from app.tasks.generate.task import GenerateTask
from tests.rig import Counts

STOP = Finished(FinishReason.END, Usage(produced=1))
LENGTH = Finished(FinishReason.LENGTH, Usage(produced=2))


class ScriptedTicket:
    """Gives out one list of events a call."""

    def __init__(self, rounds: list[list[tuple[int, Event]]]) -> None:
        self._rounds = rounds

    async def events(self) -> list[tuple[int, Event]]:
        """The next list."""
        return self._rounds.pop(0)

    def wake(self) -> None:
        """Nobody waits."""

    def cancel(self) -> None:
        """Nothing is left running."""


def writer_of(
    models: Path, request: CompletionRequest, rounds: list[list[tuple[int, Event]]]
) -> CompletionWriter:
    """Of a tiny model's answer to the request."""
    bundle = read_bundle(models / "tiny-text-lstm/1")
    assert bundle.tokenizer is not None
    task = GenerateTask(bundle.manifest, TextCodec(bundle.tokenizer), Limits())
    order = order_of(request)
    prepared = prepare_completions(task, order, lambda: 1, Limits())
    call = Call(Counts(), "generate", None)
    stream = CompletionStream(bundle.manifest, task, order, prepared, ScriptedTicket(rounds), call)
    return CompletionWriter(request, stream, "cmpl-1")


def told(chunks: list[Completion]) -> list[tuple[int, str, str | None]]:
    """Choice, text and reason of each chunk."""
    return [(one.index, one.text, one.finish_reason) for chunk in chunks for one in chunk.choices]


async def test_a_choice_is_ended_while_others_go_on(tiny_models: Path) -> None:
    """As soon as it has given out its text: with the next events, not with the last ones."""
    a, b, c = (Tokens([Token(one)]) for one in (4, 5, 6))
    rounds: list[list[tuple[int, Event]]] = [
        [(0, a), (1, b), (0, STOP)],
        [(2, c), (1, c)],
        [(2, STOP)],
        [(1, LENGTH)],
    ]
    writer = writer_of(tiny_models, CompletionRequest(prompt="a", n=3, stream=True), rounds)
    texts = told([chunk async for chunk in writer.chunks()])
    codec = TextCodec((tiny_models / "tiny-text-lstm/1/tokenizer.json").read_text())
    at, bt, ct = (codec.token(one) for one in (4, 5, 6))
    assert texts == [
        (0, at, None),
        (1, bt, None),
        (0, "", "stop"),
        (2, ct, None),
        (1, ct, None),
        (2, "", "stop"),
        (1, "", "length"),
    ]


@pytest.mark.parametrize("prompts", [1, 3])
async def test_an_empty_text_is_echoed_and_ended(tiny_models: Path, prompts: int) -> None:
    """A choice that ends at once has one chunk, with the echo and the reason."""
    request = CompletionRequest(prompt=["ab"] * prompts, echo=True, stream=True)
    writer = writer_of(tiny_models, request, [[(index, STOP) for index in range(prompts)]])
    assert told([chunk async for chunk in writer.chunks()]) == [
        (index, "ab", "stop") for index in range(prompts)
    ]
