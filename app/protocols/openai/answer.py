"""Frames of a completion in the OpenAI API's shape: as a whole, or chunk by chunk.

frames --CompletionWriter--> CompletionChoice each --> chunks, or joined and chosen from
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Literal, TypeVar

from app.bundle.manifest import GRAPH_FILE
from app.protocols.openai.completion import ScoredTokens
from app.protocols.openai.completion_stream import CompletionStream
from app.protocols.openai.order import candidates_of
from app.protocols.openai.schema import Completion, CompletionChoice, CompletionLogprobs, CompletionRequest
from app.tasks.decoded.schema import DoneFrame, TokenFrame, TokenLogprob, Usage

T = TypeVar("T")

_FINGERPRINT = 10
# Listing so many takes about two milliseconds.
_INLINE_TOKENS = 1_000


class CompletionWriter:
    """Turns the frames of one completion into its parts.

    Args:
        request: what was asked for.
        stream: the frames.
        id: of the completion.
    """

    def __init__(self, request: CompletionRequest, stream: CompletionStream, id: str) -> None:
        self._request = request
        self._stream = stream
        self._id = id
        self._created = int(time.time())
        self._opened: set[int] = set()

    async def whole(self) -> Completion:
        """All of it; of ``best_of`` texts the ``n`` most likely per token."""
        frames: list[TokenFrame] = []
        usage: Usage | None = None
        async for frame in self._stream:
            if isinstance(frame, TokenFrame):
                frames.append(frame)
            else:
                usage = frame.usage
        listed = 0 if self._request.logprobs is None or usage is None else usage.total_tokens
        return await _beside(listed, lambda: self._completion(self._choices(frames), usage))

    async def chunks(self) -> AsyncIterator[Completion]:
        """Each as its text becomes certain; the last one of a choice says why it ended."""
        options = self._request.stream_options
        with_usage = options is not None and bool(options.include_usage)
        going = set(range(self._stream.num_choices))
        async for frame in self._stream:
            for choice in self._stream.settled():
                going.discard(choice)
                yield self._chunk(with_usage, await self._made(choice, None))
            if isinstance(frame, DoneFrame):
                for choice in sorted(going):
                    yield self._chunk(with_usage, await self._made(choice, None))
                if with_usage:
                    yield self._completion([], frame.usage)
            else:
                yield self._chunk(with_usage, await self._made(frame.choice, frame))

    async def _made(self, choice: int, frame: TokenFrame | None) -> CompletionChoice:
        """A part of a choice, or without a frame its last one."""
        scores = None if choice in self._opened else self._stream.scores(choice)
        make = partial(self._last_part, choice) if frame is None else partial(self._part, choice, frame)
        return await _beside(0 if scores is None else scores.num_tokens, make)

    def _choices(self, frames: list[TokenFrame]) -> list[CompletionChoice]:
        parts: list[list[CompletionChoice]] = [[] for _ in range(self._stream.num_choices)]
        likely = [_Likelihood() for _ in parts]
        for frame in frames:
            parts[frame.choice].append(self._part(frame.choice, frame))
            likely[frame.choice].add(frame.logprobs or ())
        for choice, each in enumerate(parts):
            each.append(self._last_part(choice))
        chosen = [choice for group in self._groups() for choice in self._best(group, likely)]
        return [self._joined(index, parts[choice]) for index, choice in enumerate(chosen)]

    def _chunk(self, with_usage: bool, choice: CompletionChoice) -> Completion:
        """Every chunk has the field for the usage, or none."""
        chunk = self._completion([choice], None)
        if not with_usage:
            chunk.__pydantic_fields_set__.discard("usage")
        return chunk

    def _completion(self, choices: list[CompletionChoice], usage: Usage | None) -> Completion:
        manifest = self._stream.manifest
        return Completion.model_construct(
            id=self._id,
            object="text_completion",
            created=self._created,
            model=manifest.reference,
            system_fingerprint=f"fp_{manifest.files[GRAPH_FILE][:_FINGERPRINT]}",
            choices=choices,
            usage=usage,
        )

    def _groups(self) -> list[range]:
        """The candidates of each prompt."""
        size = candidates_of(self._request)
        return [range(first, first + size) for first in range(0, self._stream.num_choices, size)]

    def _best(self, group: range, likely: list[_Likelihood]) -> Sequence[int]:
        wanted = self._request.n or 1
        if len(group) == wanted:
            return group
        return sorted(group, key=lambda choice: likely[choice].per_token, reverse=True)[:wanted]

    def _part(self, choice: int, frame: TokenFrame) -> CompletionChoice:
        """A frame's text, behind the echo where it is the choice's first."""
        text, logprobs = self._opening(choice)
        if logprobs is not None:
            prompt = self._stream.prompt(choice)
            _extend(logprobs, frame.logprobs or (), 0 if prompt is None else len(prompt.text))
        return _choice(choice, text + frame.text, logprobs)

    def _last_part(self, choice: int) -> CompletionChoice:
        """Why a choice ended; and the echo, if it has no text at all."""
        ending = self._stream.ending(choice)
        if ending is None:
            raise AssertionError("a choice whose text is complete has ended. This is a bug.")
        text, logprobs = self._opening(choice)
        scores = self._stream.scores(choice)
        if logprobs is not None and scores is not None and ending.at_once:
            # Whoever scores prompts takes one token off the end, so there must be one.
            _extend_scored(logprobs, scores.ending)
        empty = logprobs is not None and not logprobs.tokens
        return _choice(choice, text, None if empty else logprobs, ending.reason)

    def _opening(self, choice: int) -> tuple[str, CompletionLogprobs | None]:
        """The echo of the prompt the first time, else nothing."""
        logprobs = None if self._request.logprobs is None else _no_logprobs()
        prompt = self._stream.prompt(choice)
        if prompt is None or choice in self._opened:
            return "", logprobs
        self._opened.add(choice)
        scores = self._stream.scores(choice)
        if logprobs is not None and scores is not None:
            _extend_scored(logprobs, scores.tokens)
        return prompt.text, logprobs

    def _joined(self, index: int, parts: list[CompletionChoice]) -> CompletionChoice:
        logprobs = None if self._request.logprobs is None else _no_logprobs()
        for part in parts:
            if logprobs is not None and part.logprobs is not None:
                for name in CompletionLogprobs.model_fields:
                    getattr(logprobs, name).extend(getattr(part.logprobs, name))
        text = "".join(part.text for part in parts)
        return _choice(index, text, logprobs, parts[-1].finish_reason)


async def _beside(listed: int, make: Callable[[], T]) -> T:
    """What ``make`` makes, beside the event loop when it lists many tokens."""
    return await asyncio.to_thread(make) if listed > _INLINE_TOKENS else make()


class _Likelihood:
    """Mean log-probability of a text's tokens."""

    __slots__ = ("_count", "_sum")

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0

    def add(self, tokens: Iterable[TokenLogprob]) -> None:
        for token in tokens:
            self._sum += token.logprob
            self._count += 1

    @property
    def per_token(self) -> float:
        """A text without tokens is the least likely."""
        return self._sum / self._count if self._count else -math.inf


def _choice(
    index: int,
    text: str,
    logprobs: CompletionLogprobs | None,
    reason: Literal["length", "stop"] | None = None,
) -> CompletionChoice:
    return CompletionChoice.model_construct(index=index, text=text, logprobs=logprobs, finish_reason=reason)


def _no_logprobs() -> CompletionLogprobs:
    return CompletionLogprobs.model_construct(tokens=[], token_logprobs=[], top_logprobs=[], text_offset=[])


def _extend_scored(logprobs: CompletionLogprobs, scored: ScoredTokens) -> None:
    logprobs.tokens.extend(scored.tokens)
    logprobs.token_logprobs.extend(scored.logprobs)
    logprobs.top_logprobs.extend(scored.tops)
    logprobs.text_offset.extend(scored.starts)


def _extend(logprobs: CompletionLogprobs, tokens: Iterable[TokenLogprob], offset: int) -> None:
    for token in tokens:
        logprobs.tokens.append(token.token)
        logprobs.token_logprobs.append(token.logprob)
        logprobs.top_logprobs.append(_top(token))
        logprobs.text_offset.append(offset + token.start)


def _top(token: TokenLogprob) -> dict[str, float]:
    """The most likely tokens and the token itself; of two that are written alike, the more likely one."""
    top: dict[str, float] = {}
    for other in token.top:
        top.setdefault(other.token, other.logprob)
    top.setdefault(token.token, token.logprob)
    return top
