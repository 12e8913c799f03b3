"""How likely each token of an echoed prompt was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from app.core.numbers import log_softmax, rounded
from app.core.offload import offloaded
from app.core.ports import Ticket
from app.core.sequence import Event, Outputs, SequenceRequest
from app.features.text import TextCodec
from app.protocols.openai.schema import CompletionLogprobs

_LOGITS_PER_MS = 50_000


@dataclass(frozen=True, slots=True)
class EchoedPrompt:
    """A prompt as text and as tokens; ``starts`` is where in the text each token begins, in characters."""

    text: str
    ids: list[int]
    starts: list[int]


def echoed(codec: TextCodec, prompt: str | list[int]) -> EchoedPrompt:
    if isinstance(prompt, str):
        ids, offsets = codec.encode_with_offsets(prompt)
        return EchoedPrompt(prompt, ids, [start for start, _ in offsets])
    stream, starts, length = codec.stream(), [], 0
    for token in prompt:
        starts.append(length)
        length += len(stream(token))
    return EchoedPrompt(codec.decode(prompt), prompt, starts)


class PromptScores:
    """Collects how likely each token of one prompt was, under the model's unmodified distribution."""

    def __init__(
        self, codec: TextCodec, prompt: EchoedPrompt, sequence: SequenceRequest, alternatives: int
    ) -> None:
        self._codec = codec
        self._alternatives = alternatives
        self._lead = len(sequence.steps) - len(prompt.ids)
        ends = () if sequence.feedback is None else tuple(sequence.feedback.end_tokens)[:1]
        # Behind the prompt stands the end token, had it followed at once.
        self._ids = [*prompt.ids, *ends]
        self._starts = [*prompt.starts, len(prompt.text)]
        self._num_tokens = len(prompt.ids)
        self._logprobs: list[float | None] = []
        self._tops: list[dict[str, float] | None] = []
        if not self._lead and self._ids:
            # Nothing predicts a first token.
            self._logprobs.append(None)
            self._tops.append(None)

    def add(self, outputs: Outputs) -> None:
        """Take the logits ``[steps, vocabulary]`` of the next supplied steps."""
        # The output of one step is the distribution of the next.
        first = outputs.first + 1 - self._lead
        ids = self._ids[first : first + len(outputs.values[0])]
        if not ids:
            return
        table = log_softmax(outputs.values[0][: len(ids)])
        chosen = rounded(table[np.arange(len(ids)), ids]).tolist()
        best = np.argsort(-table, axis=1, kind="stable")[:, : self._alternatives]
        likely = rounded(np.take_along_axis(table, best, axis=1)).tolist()
        word = self._codec.token
        for token, logprob, others, values in zip(ids, chosen, best.tolist(), likely, strict=True):
            self._tops.append(top_of(zip(map(word, others), values, strict=True), word(token), logprob))
        self._logprobs += chosen

    def list_prompt(self, logprobs: CompletionLogprobs) -> None:
        self._list(logprobs, slice(0, self._num_tokens))

    def list_ending(self, logprobs: CompletionLogprobs) -> None:
        """Append the end token behind the prompt; nothing where there is none."""
        self._list(logprobs, slice(self._num_tokens, None))

    def _list(self, logprobs: CompletionLogprobs, part: slice) -> None:
        known = self._tops[part]
        logprobs.tokens.extend(map(self._codec.token, self._ids[part][: len(known)]))
        logprobs.token_logprobs.extend(self._logprobs[part])
        logprobs.top_logprobs.extend(known)
        logprobs.text_offset.extend(self._starts[part][: len(known)])


def top_of(others: Iterable[tuple[str, float]], token: str, logprob: float) -> dict[str, float]:
    """The most likely tokens and the token itself; of two that are written alike, the more likely one."""
    top: dict[str, float] = {}
    for other, value in others:
        top.setdefault(other, value)
    top.setdefault(token, logprob)
    return top


class ScoredTicket:
    """A ticket that keeps the outputs of supplied steps to itself."""

    def __init__(self, inner: Ticket, scores: Sequence[PromptScores]) -> None:
        self._inner = inner
        self._scores = scores
        self.wake, self.cancel = inner.wake, inner.cancel

    async def events(self) -> list[tuple[int, Event]]:
        events = await self._inner.events()
        outputs = [(index, event) for index, event in events if isinstance(event, Outputs)]
        if not outputs:
            return events
        size = sum(event.values[0].size for _, event in outputs)
        await offloaded(size / _LOGITS_PER_MS, self._add, outputs)
        return [(index, event) for index, event in events if not isinstance(event, Outputs)]

    def _add(self, outputs: list[tuple[int, Outputs]]) -> None:
        for index, event in outputs:
            self._scores[index].add(event)
