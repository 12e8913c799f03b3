"""Live input: binary frames on ``WS /{task}``, each a step of a session, kept or for this socket alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from app.tasks.session import Context, Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What a task makes of a stream of bytes.

    Attributes:
        start: class of the message that begins a stream, with the fields ``type``, ``session``, ``model``.
        frames: classes of what is sent.
        options: ``(start) -> options`` of the session.
        ready: ``(start, model, context) -> frame``; raises InvalidInput: the session cannot go on with it.
        inputs: ``(bytes, whether they are the last) -> inputs`` of a step.
        said: ``(output) -> frames``.
    """

    start: type[BaseModel]
    frames: tuple[type[BaseModel], ...]
    options: Callable[[Any], Context]
    ready: Callable[[Any, str, Context], Any]
    inputs: Callable[[bytes, bool], Any]
    said: Callable[[Output], Iterable[Any]]
