"""Several prompts as one submission, with the log-probabilities of the prompts' own tokens.

CompletionOrder --prepare_completions--> one sequence per prompt and choice
outputs of supplied steps --PromptScores--> ScoredTokens of the prompt
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput
from app.core.limits import Limits
from app.core.sequence import Outputs, Read, SequenceRequest
from app.features.text import TextCodec
from app.tasks.generate.schema import GenerateRequest
from app.tasks.generate.task import LEAST_LOGPROB, GenerateTask, PreparedGeneration

MAX_SCORED = 64 * 1024 * 1024
"""Logits of all prompts together: 256 MiB, should the reader fall behind the engine."""

# Characters, or tokens, of prompts that are prepared in about five milliseconds.
_INLINE_LENGTH = 4_000


@dataclass(frozen=True, slots=True)
class CompletionOrder:
    """What is to be continued.

    Attributes:
        requests: one for each prompt, which alone may differ between them.
        echo: whether the prompts are wanted back.
        scored: whether their log-probabilities are; needs ``echo``, and ``logprobs`` of the requests.
        prompt_only: whether nothing is to be generated.
    """

    requests: list[GenerateRequest]
    echo: bool = False
    scored: bool = False
    prompt_only: bool = False

    @property
    def is_large(self) -> bool:
        """Whether preparing it takes longer than an event loop may stand."""
        return sum(len(request.prompt) for request in self.requests) > _INLINE_LENGTH


@dataclass(frozen=True, slots=True)
class ScoredTokens:
    """Tokens of a text; the lists are of one length.

    Attributes:
        tokens: the text of each.
        starts: where each begins in the text, in characters.
        logprobs: of each; ``None`` for a first one that no start token went before.
        tops: the most likely tokens in its place and itself, most likely first; ``None`` likewise.
    """

    tokens: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    logprobs: list[float | None] = field(default_factory=list)
    tops: list[dict[str, float] | None] = field(default_factory=list)

    def part(self, first: int, last: int) -> ScoredTokens:
        """Those from ``first`` up to ``last``."""
        cut = slice(first, last)
        return ScoredTokens(self.tokens[cut], self.starts[cut], self.logprobs[cut], self.tops[cut])


@dataclass(frozen=True, slots=True)
class EchoedPrompt:
    """A prompt as text and as tokens.

    Attributes:
        starts: where in the text each token begins, in characters.
    """

    text: str
    ids: list[int]
    starts: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedCompletions:
    """A validated order.

    Attributes:
        generation: the sequences of all prompts, those of the first prompt first.
        prompts: of the order, where they are echoed.
        scores: of each sequence, where they are wanted.
    """

    generation: PreparedGeneration
    prompts: list[EchoedPrompt]
    scores: list[PromptScores]


def prepare_completions(
    task: GenerateTask, order: CompletionOrder, draw_seed: Callable[[], int], limits: Limits
) -> PreparedCompletions:
    """Turn an order into one sequence per prompt and choice; each is what the prompt alone gives.

    Args:
        task: of the model.
        order: what to continue.
        draw_seed: for requests that name no seed.
        limits: ``max_texts`` bounds the prompts, ``max_queued_steps`` all of their steps, and
            ``max_prompt_tokens`` what can be scored.

    Raises:
        InvalidInput: a field is over its limit.
    """
    if len(order.requests) > limits.max_texts:
        raise InvalidInput(
            "prompt",
            f"a request may hold at most {limits.max_texts} prompts, got {len(order.requests)}",
            allowed={"max": limits.max_texts},
        )
    parts: list[PreparedGeneration] = []
    steps = 0
    for index in range(len(order.requests)):
        parts.append(_prepared(task, order.requests, index, draw_seed()))
        steps += sum(one.num_steps for one in parts[-1].sequences)
        _check_sum("steps of prompts and texts", steps, limits.max_queued_steps)
    prompts = [echoed(task.codec, request.prompt) for request in order.requests] if order.echo else []
    scores: list[PromptScores] = []
    if order.scored:
        tokens = sum(len(part.sequences) * len(part.prompt) for part in parts)
        most = min(MAX_SCORED // task.codec.size, limits.max_prompt_tokens)
        _check_sum("tokens of prompts, with echo and logprobs", tokens, most)
        wanted = order.requests[0].logprobs or 0
        for part, prompt in zip(parts, prompts, strict=True):
            scores += [PromptScores(task.codec, prompt, one, wanted) for one in part.sequences]
    sequences = [_placed(one, order) for part in parts for one in part.sequences]
    generation = replace(
        parts[0], sequences=sequences, prompt=tuple(token for part in parts for token in part.prompt)
    )
    return PreparedCompletions(generation, prompts, scores)


def _prepared(
    task: GenerateTask, requests: list[GenerateRequest], index: int, seed: int
) -> PreparedGeneration:
    """One prompt's; its mistakes name it when there are several."""
    try:
        return task.prepare(requests[index], seed)
    except InvalidInput as error:
        if len(requests) == 1 or not error.field.startswith("prompt"):
            raise
        raise InvalidInput(
            f"prompt.{index}{error.field.removeprefix('prompt')}",
            f"prompt {index}: {error.message}",
            allowed=error.allowed,
        ) from error


def _placed(sequence: SequenceRequest, order: CompletionOrder) -> SequenceRequest:
    return replace(
        sequence,
        read=Read.ALL if order.scored else Read.NONE,
        feedback=None if order.prompt_only else sequence.feedback,
    )


def _check_sum(what: str, num: int, most: int) -> None:
    if num > most:
        raise InvalidInput(
            "prompt",
            f"all choices of a request may have {most} {what}, not {num}",
            allowed={"max": most},
        )


def echoed(codec: TextCodec, prompt: str | list[int]) -> EchoedPrompt:
    """A prompt in both forms, whichever it was sent in."""
    if isinstance(prompt, str):
        ids, offsets = codec.encode_with_offsets(prompt)
        return EchoedPrompt(prompt, ids, [start for start, _ in offsets])
    stream, starts, length = codec.stream(), [], 0
    for token in prompt:
        starts.append(length)
        length += len(stream.push(token))
    return EchoedPrompt(codec.decode(prompt), prompt, starts)


class PromptScores:
    """Collects how likely each token of one prompt was, under the model's unmodified distribution.

    Args:
        codec: of the tokens.
        prompt: whose.
        sequence: that the prompt became.
        alternatives: how many of the most likely tokens to keep for each.
    """

    def __init__(
        self, codec: TextCodec, prompt: EchoedPrompt, sequence: SequenceRequest, alternatives: int
    ) -> None:
        self._codec = codec
        self._alternatives = alternatives
        self._lead = len(sequence.steps) - len(prompt.ids)
        ends = () if sequence.feedback is None else tuple(sequence.feedback.end_tokens)[:1]
        self._ids = [*prompt.ids, *ends]
        self._starts = [*prompt.starts, len(prompt.text)]
        self._num = len(prompt.ids)
        self._found = ScoredTokens()
        if not self._lead and self._ids:
            self._append(0, [None], [None])

    @property
    def num_tokens(self) -> int:
        """Of the prompt."""
        return self._num

    @property
    def tokens(self) -> ScoredTokens:
        """The prompt's, as far as they are known."""
        return self._found.part(0, self._num)

    @property
    def ending(self) -> ScoredTokens:
        """The end token, had it followed the prompt at once; empty without one, or when not yet known."""
        return self._found.part(self._num, self._num + 1)

    def add(self, outputs: Outputs) -> None:
        """Take the logits ``[steps, vocabulary]`` of the next supplied steps."""
        # The output of one step is the distribution of the next.
        first = outputs.first + 1 - self._lead
        ids = self._ids[first : first + len(outputs.values[0])]
        if not ids:
            return
        table = log_softmax(outputs.values[0][: len(ids)])
        chosen = _rounded(table[np.arange(len(ids)), ids])
        best = np.argsort(-table, axis=1, kind="stable")[:, : self._alternatives]
        listed = _rounded(np.take_along_axis(table, best, axis=1))
        word = self._codec.token
        tops: list[dict[str, float] | None] = []
        for token, logprob, others, likely in zip(ids, chosen, best.tolist(), listed, strict=True):
            top: dict[str, float] = {}
            # Of two tokens that are written alike, the more likely one counts.
            for other, value in zip(others, likely, strict=True):
                top.setdefault(word(other), value)
            top.setdefault(word(token), logprob)
            tops.append(top)
        self._append(first, chosen, tops)

    def _append(
        self, first: int, logprobs: Sequence[float | None], tops: list[dict[str, float] | None]
    ) -> None:
        end = first + len(tops)
        self._found.tokens.extend(map(self._codec.token, self._ids[first:end]))
        self._found.starts.extend(self._starts[first:end])
        self._found.logprobs.extend(logprobs)
        self._found.tops.extend(tops)


def _rounded(logprobs: NDArray[np.float64]) -> list[Any]:
    """As :func:`~app.tasks.generate.task.rounded`, all at once."""
    found: list[Any] = np.round(np.maximum(logprobs, LEAST_LOGPROB), 6).tolist()
    return found


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Natural logs of the probabilities along the last axis, in float64."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted
