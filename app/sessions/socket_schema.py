"""``WS /sessions`` and ``WS /sessions/{id}``: what a client sends, and what the server sends."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.core.problem import ErrorFrame
from app.core.schema import Answer, Request, Seq
from app.sessions.schema import SessionStep, StepRequest


class StepMessage(StepRequest):
    """On ``WS /sessions/{id}``: one call."""

    type: Literal["step"]


class SessionStepMessage(SessionStep):
    """On ``WS /sessions``: one call on one session."""

    type: Literal["step"]


class StepsMessage(Request):
    """On ``WS /sessions``: many calls in one frame."""

    type: Literal["steps"]
    steps: list[SessionStep] = Field(min_length=1, fail_fast=True)


class MarkerMessage(Request):
    """Comes back when every call sent before it has been answered."""

    type: Literal["marker"]
    marker: str = Field(max_length=128)


class HelloFrame(Answer):
    """The first frame on ``WS /sessions/{id}``: where the session is."""

    type: Literal["hello"] = "hello"
    id: str
    model: str
    step: int
    next_seq: int


class OutputFrame(Answer):
    """A call was applied."""

    type: Literal["output"] = "output"
    id: str
    seq: int
    step: int
    outputs: list[dict[str, Any]]


class SessionErrorFrame(ErrorFrame):
    """A call was not applied; without ``id`` it is the message that was wrong."""

    id: str | None = None
    seq: Seq | None = Field(default=None, description="as it was sent")


class OutputsFrame(Answer):
    """Several outcomes at once, in the order of the calls."""

    type: Literal["outputs"] = "outputs"
    results: list[OutputFrame | SessionErrorFrame]


class MarkerFrame(Answer):
    """A marker comes back."""

    type: Literal["marker"] = "marker"
    marker: str


class ExpiredFrame(Answer):
    """A session that this socket has stepped has ended."""

    type: Literal["expired"] = "expired"
    id: str
    reason: str = Field(description="`expired`, or `closed` by another client")
    ended_at: str
    step: int


class ClosingFrame(Answer):
    """The last frame when the server shuts down; what was not answered was not applied."""

    type: Literal["closing"] = "closing"
    id: str | None = Field(default=None, description="on `WS /sessions/{id}`")
    step: int | None = None
    next_seq: int | None = None
