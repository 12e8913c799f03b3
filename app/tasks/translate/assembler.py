"""Tokens of sentences become frames of texts, in the order of the text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from app.core.sequence import Event
from app.features.text import TextCodec
from app.tasks.decoded.beams import Ending
from app.tasks.decoded.draft import Drafts, PartFrame
from app.tasks.model import Summary
from app.tasks.translate.answers import detected, told, usage
from app.tasks.translate.schema import Frame, TranslateAnswer, Translation, TranslationsFrame

if TYPE_CHECKING:
    from app.tasks.translate.answers import Answers
    from app.tasks.translate.model import SourceText


class TranslationAssembler:
    """See :class:`app.tasks.model.Assembler`. What a sentence says waits for those before it in its text."""

    event_id = None

    def __init__(self, codec: TextCodec, answers: Answers, texts: Sequence[SourceText]) -> None:
        self._answers, self._texts = answers, texts
        self._of = [index for index, text in enumerate(texts) for _ in text.sentences]
        self._first = [0, *itertools.accumulate(len(text.sentences) for text in texts)]
        self._drafts = Drafts(codec, len(self._of))
        self._given = [""] * len(texts)
        self._at = self._first[:-1]
        """Of each text, the number of the sentence that is being given out."""
        self._waiting: list[str] = []
        """Of each sentence, what has not been given out: at first what lies before it, and its prefix."""
        for text in texts:
            end = 0
            for sentence in text.sentences:
                prefix = self._drafts.begin(len(self._waiting), sentence.steps[1:].tolist())
                self._waiting.append(text.text[end : sentence.span.start] + prefix)
                end = sentence.span.end

    @property
    def ended(self) -> bool:
        return self._drafts.ended

    @property
    def summary(self) -> Summary:
        supplied = sum(len(sentence.tokens) for text in self._texts for sentence in text.sentences)
        return Summary(self._text_reasons(), supplied, self._drafts.produced)

    def push(self, events: Sequence[tuple[int, Event]]) -> Iterator[PartFrame]:
        touched: dict[int, None] = {}
        for number, text in self._drafts.push(events).items():
            touched[self._of[number]] = None
            self._waiting[number] += text
        for index in touched:
            yield from self._release(index)

    def stop(self) -> Iterator[PartFrame]:
        """Nothing is held back but what waits for an earlier sentence, which now never ends."""
        return iter(())

    def done(self) -> TranslationsFrame:
        translations = [
            Translation.model_construct(
                text=self._given[index] if text.sentences else text.text,
                score=None,
                finish_reason=reason,
                source=text.source,
                target=text.target,
                detected=detected(text),
                warning=text.warning,
            )
            for index, (text, reason) in enumerate(zip(self._texts, self._text_reasons(), strict=True))
        ]
        return TranslationsFrame.model_construct(
            type="done",
            model=self._answers.reference,
            translations=translations,
            usage=usage(self._texts, self._drafts.produced),
        )

    def answer(self, frames: Sequence[Frame]) -> TranslateAnswer:
        done = frames[-1]
        assert isinstance(done, TranslationsFrame)
        return TranslateAnswer.model_construct(
            model=done.model, translations=done.translations, usage=done.usage
        )

    def _release(self, index: int) -> Iterator[PartFrame]:
        text, last = self._texts[index], self._first[index + 1]
        gained = ""
        while self._at[index] < last:
            number = self._at[index]
            gained += self._waiting[number]
            self._waiting[number] = ""
            if self._drafts.reasons[number] is None:
                break
            self._at[index] += 1
            if self._at[index] == last:
                gained += text.text[text.sentences[-1].span.end :]
        if gained:
            self._given[index] += gained
            yield PartFrame.model_construct(type="token", text=gained, index=index)

    def _text_reasons(self) -> list[Ending]:
        found: list[Ending] = []
        for first, last in itertools.pairwise(self._first):
            known = [reason for reason in self._drafts.reasons[first:last] if reason is not None]
            found.append(told(known) if len(known) == last - first else "stopped")
        return found
