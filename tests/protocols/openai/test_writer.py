"""Events to chunks, for what real timing decides otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.bundle.reader import read_bundle
from app.core.sequence import Event, Finished, FinishReason, Token, Tokens, Usage
from app.features.text import TextCodec
from app.protocols.openai.assembler import CompletionAssembler
from app.protocols.openai.prepare import prepare_completion, text_requests
from app.protocols.openai.schema import Completion, CompletionRequest
from app.tasks.decoded.prepare import DecodingLimits
from app.tasks.generate.model import GenerateModel

STOP = Finished(FinishReason.END, Usage(produced=1))
LENGTH = Finished(FinishReason.LENGTH, Usage(produced=2))


def chunks_of(
    models: Path, request: CompletionRequest, rounds: list[list[tuple[int, Event]]]
) -> list[Completion]:
    """Of a tiny model's answer to the request, for events that come in these rounds."""
    bundle = read_bundle(models / "tiny-text-lstm/1")
    model = GenerateModel(bundle, DecodingLimits())
    prepared = prepare_completion(request, text_requests(request), model, 1_000_000)
    assembler = CompletionAssembler(request, prepared, model.codec, bundle.manifest, "cmpl-1")
    chunks = [chunk for events in rounds for chunk in assembler.push(events)]
    assert assembler.ended
    return chunks


def told(chunks: list[Completion]) -> list[tuple[int, str, str | None]]:
    """Choice, text and reason of each chunk."""
    return [(one.index, one.text, one.finish_reason) for chunk in chunks for one in chunk.choices]


def test_a_choice_is_ended_while_others_go_on(tiny_models: Path) -> None:
    """As soon as it has given out its text: with its own events, not with the last ones."""
    a, b, c = (Tokens([Token(one)]) for one in (4, 5, 6))
    rounds: list[list[tuple[int, Event]]] = [
        [(0, a), (1, b), (0, STOP)],
        [(2, c), (1, c)],
        [(2, STOP)],
        [(1, LENGTH)],
    ]
    texts = told(chunks_of(tiny_models, CompletionRequest(prompt="a", n=3, stream=True), rounds))
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
def test_an_empty_text_is_echoed_and_ended(tiny_models: Path, prompts: int) -> None:
    """A choice that ends at once has one chunk, with the echo and the reason."""
    request = CompletionRequest(prompt=["ab"] * prompts, echo=True, stream=True)
    chunks = chunks_of(tiny_models, request, [[(index, STOP) for index in range(prompts)]])
    assert told(chunks) == [(index, "ab", "stop") for index in range(prompts)]
