"""Live input: binary frames on ``WS /{task}``, each a step of a session, kept or for this socket alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.core.schema import ModelReference, Request
from app.tasks.session import Context, Output


class LiveStart(Request):
    """Begins a stream: of which model, and which session keeps it, if one does."""

    type: Literal["start"]
    session: str | None = Field(default=None, description="its id; one that is there is gone on with")
    model: ModelReference = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What a task makes of a stream of bytes.

    Attributes:
        start: class of the message that begins a stream.
        frames: classes of what is sent.
        options: ``(start) -> options`` of the session.
        width: ``(start) -> bytes`` of a sample, which are never fed apart.
        ready: ``(start, model, context) -> frame``; raises InvalidInput: the session cannot go on with it.
        inputs: ``(bytes, whether they are the last) -> inputs`` of a step.
        said: ``(output) -> frames``.
    """

    start: type[LiveStart]
    frames: tuple[type[BaseModel], ...]
    options: Callable[[Any], Context]
    width: Callable[[Any], int]
    ready: Callable[[Any, str, Context], Any]
    inputs: Callable[[bytes, bool], Any]
    said: Callable[[Output], Iterable[Any]]
