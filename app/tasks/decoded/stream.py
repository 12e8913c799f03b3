"""Engine events of one request for text become frames: token frames, then one done frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from app.core.errors import RnnserveError
from app.core.sequence import Event, Failed, Finished, FinishReason, Token, Tokens
from app.features.text import TextCodec
from app.tasks.decoded import schema
from app.tasks.decoded.prepare import PreparedText
from app.tasks.decoded.resume import Given, ResumePoint
from app.tasks.decoded.schema import DoneFrame, Frame, TextAnswer, TokenFrame
from app.tasks.decoded.text import Piece, TextAssembler
from app.tasks.model import Summary

REASONS: dict[FinishReason, schema.FinishReason] = {
    # A request that generates nothing has all of the length that was asked for.
    FinishReason.SUPPLIED: "length",
    FinishReason.LENGTH: "length",
    FinishReason.END: "stop",
    FinishReason.STOP: "stop",
}


class FrameAssembler:
    """See :class:`app.tasks.model.Assembler`. A frame holds all that a choice has produced since its last.

    What lies before ``point`` is not given out again.
    """

    def __init__(self, model: str, codec: TextCodec, prepared: PreparedText, point: ResumePoint) -> None:
        self._model = model
        self._prepared = prepared
        self._point = point
        self._given = list(point.given or ())
        self._left_to_skip = [given.tokens for given in self._given]
        self._skipped: list[TokenFrame] = []
        num = len(prepared.sequences)
        self._texts = [TextAssembler(codec, prepared.stops, logprobs=prepared.logprobs) for _ in range(num)]
        self._reasons: list[schema.FinishReason | None] = [None] * num
        self._produced = [0] * num
        self._done = False

    @property
    def ended(self) -> bool:
        return None not in self._reasons

    @property
    def event_id(self) -> str:
        return str(replace(self._point, given=None if self._done else tuple(self._given)))

    @property
    def summary(self) -> Summary:
        return Summary(self._finish_reasons, len(self._prepared.prompt), sum(self._produced))

    @property
    def tokens(self) -> list[int]:
        """The prompt's and the first choice's tokens whose text has been given out."""
        return [*self._prepared.prompt, *self._texts[0].kept]

    def push(self, events: Sequence[tuple[int, Event]]) -> Iterator[TokenFrame]:
        produced: dict[int, list[Token]] = {}
        failure: RnnserveError | None = None
        for choice, event in events:
            if isinstance(event, Tokens):
                produced.setdefault(choice, []).extend(event.tokens)
            elif isinstance(event, Finished):
                self._reasons[choice] = REASONS[event.reason]
                produced.setdefault(choice, [])
            elif isinstance(event, Failed):
                failure = failure or event.error
        if failure is not None:
            raise failure
        for choice, tokens in produced.items():
            self._produced[choice] += len(tokens)
            yield from self._release(choice, tokens, last=self._reasons[choice] is not None)

    def stop(self) -> Iterator[TokenFrame]:
        """What choices that have not ended held back."""
        for choice, reason in enumerate(self._reasons):
            if reason is None:
                self._reasons[choice] = "stopped"
                yield from self._release(choice, [], last=True)

    def done(self) -> DoneFrame:
        self._done = True
        reasons = self._finish_reasons
        prompt, completion = len(self._prepared.prompt), sum(self._produced)
        usage = schema.Usage.model_construct(
            prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
        )
        return DoneFrame.model_construct(
            type="done",
            finish_reason=reasons[0],
            finish_reasons=reasons,
            usage=usage,
            seed=self._prepared.seed,
            model=self._model,
        )

    def answer(self, frames: Sequence[Frame]) -> TextAnswer:
        """What the reader had before is put in front."""
        num = len(self._prepared.sequences)
        texts = [""] * num
        logprobs: list[list[schema.TokenLogprob]] = [[] for _ in range(num)]
        done: DoneFrame | None = None
        for frame in (*self._skipped, *frames):
            if isinstance(frame, TokenFrame):
                texts[frame.choice] += frame.text
                logprobs[frame.choice].extend(frame.logprobs or ())
            else:
                done = frame
        if done is None:
            raise AssertionError("the last frame of a text is done. This is a bug.")
        choices = [
            schema.Choice.model_construct(
                text=text, finish_reason=reason, logprobs=listed if self._prepared.logprobs else None
            )
            for text, reason, listed in zip(texts, done.finish_reasons, logprobs, strict=True)
        ]
        return TextAnswer.model_construct(model=done.model, choices=choices, usage=done.usage, seed=done.seed)

    @property
    def _finish_reasons(self) -> list[schema.FinishReason]:
        return [reason or "stopped" for reason in self._reasons]

    def _release(self, choice: int, tokens: list[Token], *, last: bool) -> Iterator[TokenFrame]:
        text, skip = self._texts[choice], self._left_to_skip[choice]
        known, tokens = tokens[:skip], tokens[skip:]
        if known:
            # What a text holds back depends on its tokens alone, so this releases what it did before.
            self._left_to_skip[choice] -= len(known)
            self._skipped += _frames(choice, text.push(known, last=False))
        frames = _frames(choice, text.push(tokens, last=last))
        if self._given[choice].ended:
            self._skipped += frames
            return
        for frame in frames:
            before = self._given[choice].size
            size = None if before is None else before + len(frame.text) + len(frame.logprobs or ())
            self._given[choice] = Given(self._produced[choice], last, size)
            yield frame


def _frames(choice: int, piece: Piece) -> list[TokenFrame]:
    if not piece.text and not piece.logprobs:
        return []
    return [
        TokenFrame.model_construct(
            type="token", text=piece.text, index=piece.index, choice=choice, logprobs=piece.logprobs
        )
    ]
