"""``POST /sessions/{id}/compose``: music that goes on from the state of a session."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from app.core.errors import InvalidInput, over_limit
from app.core.schema import Seq
from app.tasks.compose.assembler import MusicAssembler
from app.tasks.compose.model import ComposeModel
from app.tasks.compose.schema import ComposeAnswer, ComposeRequest, PiecesFrame, StepFrame
from app.tasks.compose.session import AGAIN
from app.tasks.model import StreamStart
from app.tasks.session import SessionAction, SessionView


class ComposeFromState(ComposeRequest):
    """Go on from a session's state; times are counted from its step.

    With ``advance`` the steps of the piece become steps of the session.
    """

    model: Literal[None] = Field(default=None, description="the session's own")
    end: bool = Field(default=False, description="the music ends with these steps; else it is to go on")
    advance: bool = False
    seq: Seq | None = Field(default=None, description="with `advance`: exactly once, as for steps")

    @model_validator(mode="after")
    def _one_piece(self) -> ComposeFromState:
        if self.advance and self.n != 1:
            raise over_limit("n", 1, "with advance the session can keep one piece only")
        if self.seq is not None and not self.advance:
            raise InvalidInput("seq", "seq needs advance: without it nothing is written")
        return self


class SessionMusic(ComposeAnswer):
    """The whole answer, and where the session is after it."""

    step: int


class SessionPiecesFrame(PiecesFrame):
    """All pieces have ended well, and where the session is after it."""

    step: int


def _start(model: ComposeModel, view: SessionView, request: ComposeFromState, point: None) -> StreamStart:
    start = model.start_from(view, request, over=request.end)
    assembler = start.assembler
    assert isinstance(assembler, MusicAssembler)
    if request.advance and assembler.steps > view.max_steps:
        text = f"with advance, a piece may have {view.max_steps} steps, not {assembler.steps}"
        raise over_limit("steps", view.max_steps, text)
    return start


def _kept(assembler: object) -> list[Any]:
    """Chords by voice; those whose note is struck anew are told."""
    assert isinstance(assembler, MusicAssembler)
    names = assembler.voices
    pitches, struck = assembler.music(0)
    found = []
    for step, (chord, begins) in enumerate(zip(pitches.tolist(), struck.tolist(), strict=True)):
        before = pitches[step - 1].tolist() if step else [None] * len(chord)
        again = [
            name
            for name, pitch, last, begun in zip(names, chord, before, begins, strict=True)
            if begun and pitch == last
        ]
        found.append({**dict(zip(names, chord, strict=True)), AGAIN: again})
    return found


def _ending(said: BaseModel, step: int) -> BaseModel:
    kind = SessionPiecesFrame if isinstance(said, PiecesFrame) else SessionMusic
    return kind.model_construct(**dict(said), step=step)


COMPOSE = SessionAction(
    name="compose",
    request=ComposeFromState,
    answer=SessionMusic,
    doc="Music from the present state. With `advance` its steps become steps of the session.",
    examples={
        "harmony": {
            "summary": "Harmonise what was played next, and keep it",
            "value": {"melody": [{"pitch": 69, "duration": 4}], "advance": True},
        }
    },
    frames=(StepFrame, SessionPiecesFrame),
    start=_start,
    kept=_kept,
    ending=_ending,
    lacking="writes no music",
)
