"""Tokens of captions become frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.core.sequence import Event
from app.features.text import TextCodec
from app.tasks.caption.answers import Answers
from app.tasks.caption.schema import Caption, CaptionAnswer, CaptionsFrame, Frame
from app.tasks.decoded.beams import ENDINGS, Ending
from app.tasks.decoded.draft import Drafts, PartFrame
from app.tasks.model import Summary


class CaptionAssembler:
    """See :class:`app.tasks.model.Assembler`."""

    event_id = None

    def __init__(self, codec: TextCodec, answers: Answers, pictures: int) -> None:
        self._answers = answers
        self._drafts = Drafts(codec, pictures)
        self._given = [""] * pictures

    @property
    def ended(self) -> bool:
        return self._drafts.ended

    @property
    def summary(self) -> Summary:
        supplied = len(self._given) * self._answers.spec.places
        return Summary(self._endings, supplied, self._drafts.produced)

    @property
    def _endings(self) -> list[Ending]:
        return ["stopped" if reason is None else ENDINGS[reason] for reason in self._drafts.reasons]

    def push(self, events: Sequence[tuple[int, Event]]) -> Iterator[PartFrame]:
        for index, text in self._drafts.push(events).items():
            if text:
                self._given[index] += text
                yield PartFrame.model_construct(type="token", text=text, index=index)

    def stop(self) -> Iterator[PartFrame]:
        """Nothing is held back."""
        return iter(())

    def done(self) -> CaptionsFrame:
        captions = [
            Caption.model_construct(text=text, score=None, finish_reason=ending)
            for text, ending in zip(self._given, self._endings, strict=True)
        ]
        return CaptionsFrame.model_construct(
            type="done",
            model=self._answers.reference,
            captions=captions,
            usage=self._answers.usage(len(captions), self._drafts.produced),
        )

    def answer(self, frames: Sequence[Frame]) -> CaptionAnswer:
        done = frames[-1]
        assert isinstance(done, CaptionsFrame)
        return CaptionAnswer.model_construct(model=done.model, captions=done.captions, usage=done.usage)
