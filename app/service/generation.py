"""A running generation: engine events in, frames out."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator

from app.core.errors import RnnserveError
from app.core.ports import Ticket
from app.core.sequence import Event, Failed, Finished, FinishReason, Token
from app.schemas import generate as wire
from app.schemas.generate import DoneFrame, Frame, TokenFrame
from app.service.call import Call, Timing, outcome_of
from app.tasks.generate import GenerateTask, PreparedGeneration

_REASONS: dict[FinishReason, wire.FinishReason] = {
    FinishReason.LENGTH: "length",
    FinishReason.END: "stop",
    FinishReason.STOP: "stop",
}


class GenerationStream:
    """Frames of one request, read with ``async for``: token frames, then one done frame.

    A frame carries all that a choice has produced since its last one. Whoever does not read to
    the end calls :meth:`cancel`.

    Raises (while iterating):
        RnnserveError: the generation failed; nothing follows.
    """

    def __init__(
        self, model: str, task: GenerateTask, prepared: PreparedGeneration, ticket: Ticket, call: Call
    ) -> None:
        self._model = model
        self._prepared = prepared
        self._ticket = ticket
        self._call = call
        num = len(prepared.sequences)
        self._assemblers = [task.assembler(prepared) for _ in range(num)]
        self._reasons: list[wire.FinishReason | None] = [None] * num
        self._last_at: list[float | None] = [None] * num
        self._produced = [0] * num
        self._stopping = False
        self._frames = self._run()

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self._frames

    def timing(self) -> Timing:
        """Where the time went so far."""
        return self._call.timing()

    def stop(self) -> None:
        """End the generation early; what was produced still comes, then the done frame."""
        self._stopping = True
        self._ticket.cancel()
        self._ticket.wake()

    def cancel(self) -> None:
        """Give the generation up; nobody will read on. Harmless when it has ended."""
        self._ticket.cancel()
        self._call.report("cancelled")

    async def _run(self) -> AsyncGenerator[Frame, None]:
        try:
            while None in self._reasons and not self._stopping:
                for frame in self._digest(await self._ticket.events()):
                    yield frame
            for choice, reason in enumerate(self._reasons):
                if reason is None:
                    self._reasons[choice] = "stopped"
                    for frame in self._release(choice, [], last=True):
                        yield frame
            self._call.report("ok")
            yield self._done()
        except BaseException as error:
            self._call.report(outcome_of(error))
            raise
        finally:
            self._ticket.cancel()

    def _digest(self, events: list[tuple[int, Event]]) -> list[Frame]:
        tokens: dict[int, list[Token]] = {}
        failure: RnnserveError | None = None
        for choice, event in events:
            if isinstance(event, Token):
                tokens.setdefault(choice, []).append(event)
            elif isinstance(event, Finished):
                self._call.add(event.usage)
                self._reasons[choice] = _REASONS[event.reason]
                tokens.setdefault(choice, [])
            elif isinstance(event, Failed):
                failure = failure or event.error
        if failure is not None:
            raise failure
        frames: list[Frame] = []
        for choice, produced in tokens.items():
            self._time(choice, len(produced))
            frames += self._release(choice, produced, last=self._reasons[choice] is not None)
        return frames

    def _time(self, choice: int, count: int) -> None:
        if not count:
            return
        now, before = time.perf_counter(), self._last_at[choice]
        self._last_at[choice] = now
        self._produced[choice] += count
        if before is not None:
            self._call.produced(count, now - before)
        elif sum(self._produced) == count:
            self._call.produced(count, None)

    def _release(self, choice: int, tokens: list[Token], *, last: bool) -> list[Frame]:
        piece = self._assemblers[choice].push(tokens, last=last)
        if not piece.text and not piece.logprobs:
            return []
        return [
            TokenFrame.model_construct(
                type="token", text=piece.text, index=piece.index, choice=choice, logprobs=piece.logprobs
            )
        ]

    def _done(self) -> DoneFrame:
        reasons = [reason or "stopped" for reason in self._reasons]
        completion = sum(self._produced)
        usage = wire.Usage.model_construct(
            prompt_tokens=self._prepared.prompt_tokens,
            completion_tokens=completion,
            total_tokens=self._prepared.prompt_tokens + completion,
        )
        return DoneFrame.model_construct(
            type="done",
            finish_reason=reasons[0],
            finish_reasons=reasons,
            usage=usage,
            seed=self._prepared.seed,
            model=self._model,
        )
