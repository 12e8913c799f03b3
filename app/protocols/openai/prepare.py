"""A completion request as one submission: a sequence for each prompt and choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.core.errors import InvalidInput
from app.core.sequence import Read, SequenceRequest
from app.features.text import milliseconds_to_encode
from app.protocols.openai.schema import DEFAULT_MAX_TOKENS, CompletionRequest
from app.protocols.openai.scores import EchoedPrompt, PromptScores, echoed
from app.tasks.decoded.prepare import PreparedText, TextModel
from app.tasks.decoded.schema import SEEDS, TextRequest

MAX_SCORED = 64 * 1024 * 1024
"""Logits of all prompts together: 256 MiB, should the reader fall behind the engine."""

_MS_PER_SEQUENCE = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class PreparedCompletion:
    """Choice ``i`` of prompt ``p`` is sequence ``p * candidates + i``; ``prompts`` come back."""

    text: PreparedText
    candidates: int
    prompts: list[EchoedPrompt]
    scores: list[PromptScores]


def text_requests(request: CompletionRequest) -> list[TextRequest]:
    """What to write for each prompt; null means the default, as that API has it."""
    num, candidates = request.n or 1, request.candidates
    if candidates < num:
        raise InvalidInput("best_of", f"best_of is {candidates}, less than n, which is {num}")
    if request.stream and candidates > num:
        raise InvalidInput(
            "best_of", "the best of several texts cannot be streamed; leave out stream or best_of"
        )
    if request.stream_options is not None and not request.stream:
        raise InvalidInput("stream_options", "stream_options are for streams only; send stream as well")
    return [
        # Checked already, with the same bounds.
        TextRequest.model_construct(
            model=request.model,
            prompt=prompt,
            max_tokens=max(1, _max_tokens(request)),
            temperature=1.0 if request.temperature is None else request.temperature,
            top_k=max(0, request.top_k or 0),
            top_p=1.0 if request.top_p is None else request.top_p,
            # Seeds are signed there and unsigned here; those that both have keep their texts.
            seed=None if request.seed is None else request.seed % SEEDS,
            stop=request.stops,
            n=candidates,
            logprobs=0 if request.logprobs is None and candidates > num else request.logprobs,
            stream=bool(request.stream),
        )
        for prompt in request.prompts
    ]


def milliseconds(requests: Sequence[TextRequest]) -> float:
    """About how long they take to be prepared, the echo included."""
    chars = sum(len(request.prompt) for request in requests)
    return 2 * milliseconds_to_encode(chars) + _MS_PER_SEQUENCE * requests[0].n * len(requests)


def prepare_completion(
    request: CompletionRequest, requests: Sequence[TextRequest], model: TextModel, max_steps: int
) -> PreparedCompletion:
    """Each sequence is what its prompt alone gives; all together have at most ``max_steps``."""
    limits = model.decoding
    if len(requests) > limits.max_texts:
        raise InvalidInput(
            "prompt",
            f"a request may hold at most {limits.max_texts} prompts, got {len(requests)}",
            allowed={"max": limits.max_texts},
        )
    parts: list[PreparedText] = []
    steps = 0
    for index in range(len(requests)):
        parts.append(_prepared(model, requests, index))
        steps += sum(sequence.num_steps for sequence in parts[-1].sequences)
        _check_sum("steps of prompts and texts", steps, max_steps)
    prompts = [echoed(model.codec, each.prompt) for each in requests] if request.echo else []
    scores: list[PromptScores] = []
    read = Read.NONE
    if request.echo and request.logprobs is not None:
        read = Read.ALL
        tokens = sum(len(part.sequences) * len(part.prompt) for part in parts)
        most = min(MAX_SCORED // model.codec.size, limits.max_prompt_tokens)
        _check_sum("tokens of prompts, with echo and logprobs", tokens, most)
        for part, prompt in zip(parts, prompts, strict=True):
            scores += [
                PromptScores(model.codec, prompt, sequence, request.logprobs) for sequence in part.sequences
            ]
    prompt_only = _max_tokens(request) == 0
    sequences: list[SequenceRequest] = [
        replace(sequence, read=read, feedback=None if prompt_only else sequence.feedback)
        for part in parts
        for sequence in part.sequences
    ]
    tokens_of_all = tuple(token for part in parts for token in part.prompt)
    text = replace(parts[0], sequences=sequences, prompt=tokens_of_all)
    return PreparedCompletion(text, request.candidates, prompts, scores)


def _max_tokens(request: CompletionRequest) -> int:
    return DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens


def _prepared(model: TextModel, requests: Sequence[TextRequest], index: int) -> PreparedText:
    """One prompt's sequences; its mistakes name it when there are several prompts."""
    try:
        return model.prepare(requests[index])
    except InvalidInput as error:
        if len(requests) == 1 or not error.field.startswith("prompt"):
            raise
        raise InvalidInput(
            f"prompt.{index}{error.field.removeprefix('prompt')}",
            f"prompt {index}: {error.message}",
            allowed=error.allowed,
        ) from error


def _check_sum(what: str, num: int, most: int) -> None:
    if num > most:
        raise InvalidInput(
            "prompt", f"all choices of a request may have {most} {what}, not {num}", allowed={"max": most}
        )
