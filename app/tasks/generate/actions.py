"""``POST /sessions/{id}/generate``: text that goes on from the state of a session."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from app.core.errors import InvalidInput, over_limit
from app.core.schema import Seq
from app.tasks.decoded.resume import Given, ResumePoint
from app.tasks.decoded.schema import Choice, DoneFrame, TokenFrame
from app.tasks.decoded.stream import FrameAssembler
from app.tasks.generate.model import GenerateModel
from app.tasks.generate.schema import GenerateAnswer, GenerateRequest
from app.tasks.model import StreamStart
from app.tasks.session import SessionAction, SessionView


class GenerateFromState(GenerateRequest):
    """Continue from a session's state; a prompt, if any, is fed first.

    With ``advance`` the prompt and what was generated become steps of the session.
    """

    model: Literal[None] = Field(default=None, description="the session's own")
    advance: bool = False
    seq: Seq | None = Field(default=None, description="with `advance`: exactly once, as for steps")

    @model_validator(mode="after")
    def _one_text(self) -> GenerateFromState:
        if self.advance and self.n != 1:
            raise over_limit("n", 1, "with advance the session can keep one text only")
        if self.seq is not None and not self.advance:
            raise InvalidInput("seq", "seq needs advance: without it nothing is written")
        return self


class SessionText(GenerateAnswer):
    """The whole answer, and where the session is after it."""

    step: int


class SessionDoneFrame(DoneFrame):
    """The generation ended well, and where the session is after it."""

    step: int


def _start(
    model: GenerateModel, view: SessionView, request: GenerateFromState, point: ResumePoint | None
) -> StreamStart:
    start = model.start_from(view, request, point)
    prompt = len(_kept(start.assembler))
    most = prompt + request.max_tokens
    if request.advance and most > view.max_steps:
        text = f"with advance, prompt and text may be {view.max_steps} tokens, not {most}"
        raise over_limit("max_tokens", view.max_steps - prompt, text)
    return start


def _kept(assembler: object) -> list[int]:
    assert isinstance(assembler, FrameAssembler)
    return assembler.tokens


def _ending(said: BaseModel, step: int) -> BaseModel:
    kind = SessionDoneFrame if isinstance(said, DoneFrame) else SessionText
    return kind.model_construct(**dict(said), step=step)


def _again(answer: bytes, point: ResumePoint) -> tuple[BaseModel, str] | None:
    text = SessionText.model_validate_json(answer)
    produced = text.usage.completion_tokens
    had_all = all(
        _had_all(given, choice, produced)
        for given, choice in zip(point.given or (), text.choices, strict=False)
    )
    if point.seed != text.seed or not had_all:
        return None
    reasons = [choice.finish_reason for choice in text.choices]
    done = SessionDoneFrame(
        finish_reason=reasons[0],
        finish_reasons=reasons,
        usage=text.usage,
        seed=text.seed,
        model=text.model,
        step=text.step,
    )
    return done, str(replace(point, given=None))


def _had_all(given: Given, choice: Choice, produced: int) -> bool:
    """Tokens do not tell it: a stop string that ended the text lies behind the last of it, and what might
    have become one is given out after the last token.
    """
    if given.size is None:
        return given.ended or given.tokens == produced
    return given.ended or given.size == len(choice.text) + len(choice.logprobs or ())


GENERATE = SessionAction(
    name="generate",
    request=GenerateFromState,
    answer=SessionText,
    doc="Text from the present state. With `advance` the prompt and the text become steps of the session.",
    examples={
        "advance": {
            "summary": "Keep what was generated",
            "value": {"prompt": "ROMEO:\n", "max_tokens": 64, "temperature": 0.7, "advance": True},
        }
    },
    frames=(TokenFrame, SessionDoneFrame),
    start=_start,
    kept=_kept,
    ending=_ending,
    again=_again,
    lacking="generates no text",
)
