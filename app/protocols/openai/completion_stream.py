"""A running completion of several prompts: a generation whose prompts may come back, scored.

engine events --ScoredTicket--> outputs of prompts to their scores
                            --> tokens and ends to GenerationStream --> frames
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from app.bundle.manifest import Manifest
from app.core.errors import RnnserveError
from app.core.limits import Limits
from app.core.ports import Ticket
from app.core.sequence import Event, Finished, FinishReason, Outputs
from app.protocols.openai.completion import (
    CompletionOrder,
    EchoedPrompt,
    PreparedCompletions,
    PromptScores,
    prepare_completions,
)
from app.service.call import Call, Timing, outcome_of
from app.service.generation import GenerationStream
from app.service.inference import InferenceService, draw_seed
from app.service.resume import Given, ResumePoint
from app.tasks.decoded.schema import Frame
from app.tasks.generate.task import GenerateTask

# Logits whose logarithms take about two milliseconds, which is as long as the loop may stand.
_INLINE_LOGITS = 100_000


@dataclass(frozen=True, slots=True)
class Ending:
    """How a choice ended.

    Attributes:
        reason: on the wire.
        at_once: whether by an end token in place of any text.
    """

    reason: Literal["length", "stop"]
    at_once: bool


class ScoredTicket:
    """A ticket that keeps the outputs of supplied steps to itself, and knows who has ended.

    Args:
        inner: of the engine.
        scores: where outputs go, one for each sequence; empty when none are read.
    """

    def __init__(self, inner: Ticket, scores: list[PromptScores]) -> None:
        self._inner = inner
        self._scores = scores
        self._new: list[int] = []
        self._given_out: deque[int] = deque()
        self.endings: dict[int, Ending] = {}

    async def events(self) -> list[tuple[int, Event]]:
        """Tokens and ends; see :class:`~app.core.ports.Ticket`."""
        # Whoever comes for more has given out all that the last events held.
        self._given_out += self._new
        self._new = []
        passed: list[tuple[int, Event]] = []
        outputs: list[tuple[int, Outputs]] = []
        for index, event in await self._inner.events():
            if isinstance(event, Outputs):
                outputs.append((index, event))
            elif isinstance(event, Finished):
                passed.append((index, self._end(index, event)))
            else:
                passed.append((index, event))
        if outputs:
            await self._score(outputs)
        return passed

    def settled(self) -> list[int]:
        """Sequences that have ended and given out all of their text; each is named once."""
        settled = list(self._given_out)
        self._given_out.clear()
        return settled

    def _end(self, index: int, event: Finished) -> Finished:
        # Without anything to generate, the text has all of the length that was asked for.
        over = event.reason is FinishReason.SUPPLIED
        reason = FinishReason.LENGTH if over else event.reason
        at_once = reason is FinishReason.END and not event.usage.produced
        self.endings[index] = Ending("length" if reason is FinishReason.LENGTH else "stop", at_once)
        self._new.append(index)
        return replace(event, reason=reason)

    async def _score(self, outputs: list[tuple[int, Outputs]]) -> None:
        if sum(one.values[0].size for _, one in outputs) <= _INLINE_LOGITS:
            self._add(outputs)
        else:
            await asyncio.to_thread(self._add, outputs)

    def _add(self, outputs: list[tuple[int, Outputs]]) -> None:
        for index, one in outputs:
            self._scores[index].add(one)

    def wake(self) -> None:
        """End the present or next wait early."""
        self._inner.wake()

    def cancel(self) -> None:
        """Give the sequences up."""
        self._inner.cancel()


class CompletionStream:
    """Frames of the texts of several prompts; see :class:`~app.service.generation.GenerationStream`.

    Choice ``i`` of prompt ``p`` is choice ``p * n + i`` of the frames.

    Args:
        manifest: of the model.
        task: makes text of tokens.
        order: what was asked for.
        prepared: the same, validated.
        ticket: of its sequences.
        call: to be reported.
    """

    def __init__(
        self,
        manifest: Manifest,
        task: GenerateTask,
        order: CompletionOrder,
        prepared: PreparedCompletions,
        ticket: Ticket,
        call: Call,
    ) -> None:
        self.manifest = manifest
        self.num_choices = len(prepared.generation.sequences)
        self._per_prompt = order.requests[0].n
        self._prepared = prepared
        self._ticket = ScoredTicket(ticket, prepared.scores)
        point = ResumePoint(prepared.generation.seed, "", "", (Given(),) * self.num_choices)
        self._frames = GenerationStream(
            manifest.reference, task, prepared.generation, self._ticket, call, point
        )

    def __aiter__(self) -> AsyncIterator[Frame]:
        return aiter(self._frames)

    @property
    def event_id(self) -> str:
        """See :class:`~app.service.generation.GenerationStream`."""
        return self._frames.event_id

    def prompt(self, choice: int) -> EchoedPrompt | None:
        """The prompt of a choice, where it was to be echoed."""
        prompts = self._prepared.prompts
        return prompts[choice // self._per_prompt] if prompts else None

    def scores(self, choice: int) -> PromptScores | None:
        """Of that prompt's tokens, where wanted; complete once the choice has a frame or has ended."""
        scores = self._prepared.scores
        return scores[choice] if scores else None

    def ending(self, choice: int) -> Ending | None:
        """How a choice ended, while those of others still come."""
        return self._ticket.endings.get(choice)

    def settled(self) -> list[int]:
        """Choices that have ended and given out all of their frames; each is named once."""
        return self._ticket.settled()

    def timing(self) -> Timing:
        """Where the time went so far."""
        return self._frames.timing()

    def cancel(self) -> None:
        """Give the completion up; nobody will read on. Harmless when it has ended."""
        self._frames.cancel()


async def start_completions(
    service: InferenceService, order: CompletionOrder, limits: Limits
) -> CompletionStream:
    """Start the texts of several prompts, all or none, whose frames are read as they come.

    Raises:
        RnnserveError: the order is refused; nothing was started.
    """
    model = order.requests[0].model
    call = service.begin("generate", model)
    try:
        deployment = service.find("generate", model)
        call.model = deployment.manifest.reference
        task = deployment.task
        assert isinstance(task, GenerateTask)
        prepare = partial(prepare_completions, task, order, draw_seed, limits)
        prepared = await asyncio.to_thread(prepare) if order.is_large else prepare()
        ticket = deployment.engine.submit(
            prepared.generation.sequences, service.deadline(limits.request_timeout_s)
        )
    except RnnserveError as error:
        call.report(outcome_of(error))
        raise
    return CompletionStream(deployment.manifest, task, order, prepared, ticket, call)
