"""Engine events become chunks of a completion, and these the whole."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Literal

from app.bundle.manifest import GRAPH_FILE, Manifest
from app.core.sequence import Event, Finished, FinishReason
from app.features.text import TextCodec
from app.protocols.openai.prepare import PreparedCompletion
from app.protocols.openai.schema import Completion, CompletionChoice, CompletionLogprobs, CompletionRequest
from app.protocols.openai.scores import top_of
from app.tasks.decoded.resume import Given, ResumePoint
from app.tasks.decoded.schema import TokenFrame, Usage
from app.tasks.decoded.stream import REASONS, FrameAssembler
from app.tasks.model import Summary

_FINGERPRINT = 10


class CompletionAssembler:
    """See :class:`app.tasks.model.Assembler`. A chunk is sent as its text becomes certain; the last one of a
    choice says why it ended, and the last of all has the usage.
    """

    event_id = None

    def __init__(
        self,
        request: CompletionRequest,
        prepared: PreparedCompletion,
        codec: TextCodec,
        manifest: Manifest,
        id: str,
    ) -> None:
        self._request = request
        self._prepared = prepared
        self._manifest = manifest
        self._id = id
        self._created = int(time.time())
        num = len(prepared.text.sequences)
        point = ResumePoint(prepared.text.seed, "", "", (Given(),) * num)
        self._frames = FrameAssembler(manifest.reference, codec, prepared.text, point)
        self._opened: set[int] = set()
        # Of each choice the sum of its tokens' log-probabilities, and how many there are.
        self._likelihoods = [(0.0, 0)] * num

    @property
    def ended(self) -> bool:
        return self._frames.ended

    @property
    def summary(self) -> Summary:
        return self._frames.summary

    def push(self, events: Sequence[tuple[int, Event]]) -> Iterator[Completion]:
        for frame in self._frames.push(events):
            yield self._completion([self._part(frame)])
        for choice, event in events:
            if isinstance(event, Finished):
                yield self._completion([self._last_part(choice, event)])

    def stop(self) -> Iterator[Completion]:
        """Nobody ends a completion early but by going away."""
        return iter(())

    def done(self) -> Completion:
        """The usage, without choices."""
        return self._completion([], self._frames.done().usage)

    def answer(self, frames: Sequence[Completion]) -> Completion:
        """All of it; of ``best_of`` texts the ``n`` most likely for each token."""
        *chunks, done = frames
        parts: list[list[CompletionChoice]] = [[] for _ in self._likelihoods]
        for chunk in chunks:
            for part in chunk.choices:
                parts[part.index].append(part)
        size = self._prepared.candidates
        groups = [range(first, first + size) for first in range(0, len(parts), size)]
        chosen = [choice for group in groups for choice in self._best(group)]
        choices = [self._joined(index, parts[choice]) for index, choice in enumerate(chosen)]
        return self._completion(choices, done.usage)

    def _completion(self, choices: list[CompletionChoice], usage: Usage | None = None) -> Completion:
        completion = Completion.model_construct(
            id=self._id,
            object="text_completion",
            created=self._created,
            model=self._manifest.reference,
            system_fingerprint=f"fp_{self._manifest.files[GRAPH_FILE][:_FINGERPRINT]}",
            choices=choices,
            usage=usage,
        )
        if usage is None and not self._request.with_usage:
            # Every chunk of a stream has the field, or none.
            completion.__pydantic_fields_set__.discard("usage")
        return completion

    def _best(self, group: range) -> Sequence[int]:
        """The candidates of a prompt that are returned; a text without tokens is the least likely."""
        wanted = self._request.n or 1
        if len(group) == wanted:
            return group

        def per_token(choice: int) -> float:
            total, count = self._likelihoods[choice]
            return total / count if count else -math.inf

        return sorted(group, key=per_token, reverse=True)[:wanted]

    def _part(self, frame: TokenFrame) -> CompletionChoice:
        choice, tokens = frame.choice, frame.logprobs or ()
        text, logprobs, offset = self._opening(choice)
        total, count = self._likelihoods[choice]
        self._likelihoods[choice] = (total + sum(token.logprob for token in tokens), count + len(tokens))
        if logprobs is not None:
            for token in tokens:
                others = ((other.token, other.logprob) for other in token.top)
                logprobs.tokens.append(token.token)
                logprobs.token_logprobs.append(token.logprob)
                logprobs.top_logprobs.append(top_of(others, token.token, token.logprob))
                logprobs.text_offset.append(offset + token.start)
        return _choice(choice, text + frame.text, logprobs)

    def _last_part(self, choice: int, event: Finished) -> CompletionChoice:
        text, logprobs, _ = self._opening(choice)
        ended_at_once = event.reason is FinishReason.END and not event.usage.produced
        if logprobs is not None and self._prepared.scores and ended_at_once:
            # Whoever scores prompts takes one token off the end, so there must be one.
            self._prepared.scores[choice].list_ending(logprobs)
        if logprobs is not None and not logprobs.tokens:
            logprobs = None
        return _choice(choice, text, logprobs, "length" if REASONS[event.reason] == "length" else "stop")

    def _opening(self, choice: int) -> tuple[str, CompletionLogprobs | None, int]:
        """The echo of the prompt the first time, else nothing; and how long the echo is in all."""
        logprobs = None if self._request.logprobs is None else _no_logprobs()
        if not self._prepared.prompts:
            return "", logprobs, 0
        text = self._prepared.prompts[choice // self._prepared.candidates].text
        if choice in self._opened:
            return "", logprobs, len(text)
        self._opened.add(choice)
        if logprobs is not None and self._prepared.scores:
            self._prepared.scores[choice].list_prompt(logprobs)
        return text, logprobs, len(text)

    def _joined(self, index: int, parts: list[CompletionChoice]) -> CompletionChoice:
        logprobs = None if self._request.logprobs is None else _no_logprobs()
        for part in parts:
            if logprobs is not None and part.logprobs is not None:
                for name in CompletionLogprobs.model_fields:
                    getattr(logprobs, name).extend(getattr(part.logprobs, name))
        text = "".join(part.text for part in parts)
        return _choice(index, text, logprobs, parts[-1].finish_reason)


def _choice(
    index: int,
    text: str,
    logprobs: CompletionLogprobs | None,
    reason: Literal["length", "stop"] | None = None,
) -> CompletionChoice:
    return CompletionChoice.model_construct(index=index, text=text, logprobs=logprobs, finish_reason=reason)


def _no_logprobs() -> CompletionLogprobs:
    return CompletionLogprobs.model_construct(tokens=[], token_logprobs=[], top_logprobs=[], text_offset=[])
