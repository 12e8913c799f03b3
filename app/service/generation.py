"""A running generation: engine events in, frames out."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

from app.core.errors import RnnserveError
from app.core.ports import Ticket
from app.core.sequence import Event, Failed, Finished, FinishReason, Token, Tokens
from app.service.call import Call, Timing, outcome_of
from app.service.resume import Given, ResumePoint
from app.tasks.generate import schema as wire
from app.tasks.generate.schema import DoneFrame, Frame, GenerateAnswer, GenerateRequest, TokenFrame
from app.tasks.generate.task import GenerateTask, Piece, PreparedGeneration

_REASONS: dict[FinishReason, wire.FinishReason] = {
    FinishReason.LENGTH: "length",
    FinishReason.END: "stop",
    FinishReason.STOP: "stop",
}


class GenerationStream:
    """Frames of one request, read with ``async for``: token frames, then one done frame.

    A frame carries all that a choice has produced since its last one. Whoever does not read to
    the end calls :meth:`cancel`.

    Args:
        model: ``name@version``.
        task: makes text of tokens.
        prepared: the request.
        ticket: of its sequences.
        call: to be reported.
        point: where its reader stands; what lies before is not given out again, but kept in
            ``skipped``.

    Raises (while iterating):
        RnnserveError: the generation failed; nothing follows.
    """

    def __init__(
        self,
        model: str,
        task: GenerateTask,
        prepared: PreparedGeneration,
        ticket: Ticket,
        call: Call,
        point: ResumePoint,
    ) -> None:
        self._model = model
        self._point = point
        self._given = list(point.given or ())
        self._skip = [one.tokens for one in self._given]
        self.skipped: list[TokenFrame] = []
        self._prepared = prepared
        self._ticket = ticket
        self._call = call
        num = len(prepared.sequences)
        self._assemblers = [task.assembler(prepared) for _ in range(num)]
        self._reasons: list[wire.FinishReason | None] = [None] * num
        self._last_at: list[float | None] = [None] * num
        self._produced = [0] * num
        self._stopping = False
        self._finished = False
        self._frames = self._run()

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self._frames

    def timing(self) -> Timing:
        """Where the time went so far."""
        return self._call.timing()

    @property
    def tokens(self) -> list[int]:
        """The prompt's and the first choice's tokens whose text has been given out."""
        return [*self._prepared.prompt, *self._assemblers[0].kept]

    @property
    def event_id(self) -> str:
        """Where a reader stands that has the last frame and all before it."""
        return str(replace(self._point, given=None if self._finished else tuple(self._given)))

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
                    self._note(frame.choice)
                    yield frame
            for choice, reason in enumerate(self._reasons):
                if reason is None:
                    self._reasons[choice] = "stopped"
                    for frame in self._release(choice, [], last=True):
                        self._note(choice)
                        yield frame
            self._call.report("ok")
            reasons = [reason or "stopped" for reason in self._reasons]
            self._call.wrote(reasons, len(self._prepared.prompt), sum(self._produced))
            self._finished = True
            yield self._done()
        except BaseException as error:
            self._call.report(outcome_of(error))
            raise
        finally:
            self._ticket.cancel()

    def _note(self, choice: int) -> None:
        self._given[choice] = Given(self._produced[choice], self._reasons[choice] is not None)

    def _digest(self, events: list[tuple[int, Event]]) -> list[TokenFrame]:
        tokens: dict[int, list[Token]] = {}
        failure: RnnserveError | None = None
        for choice, event in events:
            if isinstance(event, Tokens):
                tokens.setdefault(choice, []).extend(event.tokens)
            elif isinstance(event, Finished):
                self._call.add(event.usage)
                self._reasons[choice] = _REASONS[event.reason]
                tokens.setdefault(choice, [])
            elif isinstance(event, Failed):
                failure = failure or event.error
        if failure is not None:
            raise failure
        frames: list[TokenFrame] = []
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
        gap = None if before is None else now - before
        self._call.produced(count, gap, first=gap is None and sum(self._produced) == count)

    def _release(self, choice: int, tokens: list[Token], *, last: bool) -> list[TokenFrame]:
        assembler = self._assemblers[choice]
        known, tokens = tokens[: self._skip[choice]], tokens[self._skip[choice] :]
        if known:
            # What a text holds back depends on its tokens alone, so this releases what it did before.
            self._skip[choice] -= len(known)
            self.skipped += _frames(choice, assembler.push(known, last=False))
        frames = _frames(choice, assembler.push(tokens, last=last))
        if self._given[choice].ended:
            self.skipped += frames
            return []
        return frames

    def _done(self) -> DoneFrame:
        reasons = [reason or "stopped" for reason in self._reasons]
        completion = sum(self._produced)
        usage = wire.Usage.model_construct(
            prompt_tokens=len(self._prepared.prompt),
            completion_tokens=completion,
            total_tokens=len(self._prepared.prompt) + completion,
        )
        return DoneFrame.model_construct(
            type="done",
            finish_reason=reasons[0],
            finish_reasons=reasons,
            usage=usage,
            seed=self._prepared.seed,
            model=self._model,
        )


def _frames(choice: int, piece: Piece) -> list[TokenFrame]:
    if not piece.text and not piece.logprobs:
        return []
    return [
        TokenFrame.model_construct(
            type="token", text=piece.text, index=piece.index, choice=choice, logprobs=piece.logprobs
        )
    ]


async def whole_answer(frames: AsyncIterator[Frame], request: GenerateRequest) -> GenerateAnswer:
    """All frames of a generation as one answer."""
    texts = [""] * request.n
    logprobs: list[list[wire.TokenLogprob]] = [[] for _ in range(request.n)]
    done: DoneFrame | None = None
    async for frame in frames:
        if isinstance(frame, TokenFrame):
            texts[frame.choice] += frame.text
            logprobs[frame.choice].extend(frame.logprobs or ())
        else:
            done = frame
    if done is None:
        raise AssertionError("a generation's last frame is done. This is a bug.")
    choices = [
        wire.Choice.model_construct(
            text=text, finish_reason=reason, logprobs=listed if request.logprobs is not None else None
        )
        for text, reason, listed in zip(texts, done.finish_reasons, logprobs, strict=True)
    ]
    return GenerateAnswer.model_construct(model=done.model, choices=choices, usage=done.usage, seed=done.seed)
