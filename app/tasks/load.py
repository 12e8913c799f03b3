"""What ``rnnserve bench`` sends to a server of a task."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOption:
    """A whole number that ``rnnserve bench`` takes as ``--{name}``."""

    name: str
    help: str
    default: int
    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests and session inputs of a task.

    Attributes:
        options: that ``body`` reads. Two tasks may have the same one; it is one flag then.
        body: ``(random, options by name) -> fields`` of one request.
        answered: bytes that a good answer holds; unused where answers stream.
        inputs: ``(number) -> JSON`` of the inputs of a session's n-th event, one step.
        produced: of a task that streams: ``(frame) -> tokens`` produced before this frame; of the last frame,
            all.
    """

    body: Callable[[random.Random, Mapping[str, int]], dict[str, Any]]
    inputs: Callable[[int], bytes]
    answered: bytes = b""
    options: tuple[LoadOption, ...] = ()
    produced: Callable[[Mapping[str, Any]], int] | None = None
