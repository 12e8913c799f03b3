"""Tokens of captions become frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.core.errors import RnnserveError
from app.core.sequence import Event, Failed, Finished, Tokens
from app.features.text import TextCodec
from app.tasks.caption import schema
from app.tasks.caption.answers import REASONS, Answers
from app.tasks.caption.schema import Caption, CaptionAnswer, CaptionsFrame, Frame, WordFrame
from app.tasks.model import Summary


class CaptionAssembler:
    """See :class:`app.tasks.model.Assembler`."""

    event_id = None

    def __init__(self, codec: TextCodec, answers: Answers, pictures: int) -> None:
        self._answers = answers
        self._decoded = [codec.stream() for _ in range(pictures)]
        self._given = [""] * pictures
        self._produced = [0] * pictures
        self._reasons: list[schema.FinishReason | None] = [None] * pictures

    @property
    def ended(self) -> bool:
        return None not in self._reasons

    @property
    def summary(self) -> Summary:
        supplied = len(self._given) * self._answers.spec.places
        return Summary([reason or "stopped" for reason in self._reasons], supplied, sum(self._produced))

    def push(self, events: Sequence[tuple[int, Event]]) -> Iterator[WordFrame]:
        failure: RnnserveError | None = None
        gained: dict[int, str] = {}
        for index, event in events:
            if isinstance(event, Tokens):
                self._produced[index] += len(event.tokens)
                decoded = self._decoded[index]
                text = "".join([decoded(token.id) for token in event.tokens])
                gained[index] = gained.get(index, "") + text
            elif isinstance(event, Finished):
                self._reasons[index] = REASONS[event.reason]
            elif isinstance(event, Failed):
                failure = failure or event.error
        if failure is not None:
            raise failure
        for index, text in gained.items():
            if text:
                self._given[index] += text
                yield WordFrame.model_construct(type="token", text=text, index=index)

    def stop(self) -> Iterator[WordFrame]:
        """Nothing is held back."""
        return iter(())

    def done(self) -> CaptionsFrame:
        captions = [
            Caption.model_construct(text=text, score=None, finish_reason=reason or "stopped")
            for text, reason in zip(self._given, self._reasons, strict=True)
        ]
        return CaptionsFrame.model_construct(
            type="done",
            model=self._answers.reference,
            captions=captions,
            usage=self._answers.usage(len(captions), sum(self._produced)),
        )

    def answer(self, frames: Sequence[Frame]) -> CaptionAnswer:
        done = frames[-1]
        assert isinstance(done, CaptionsFrame)
        return CaptionAnswer.model_construct(model=done.model, captions=done.captions, usage=done.usage)
