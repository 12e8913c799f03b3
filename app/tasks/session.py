"""The session side of a task: inputs to steps, outputs one by one, and what else a state can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from app.core.schema import Request
from app.core.sequence import Source

if TYPE_CHECKING:
    from app.tasks.model import StreamStart

Context = dict[str, Any]
"""What the session side of a task remembers between calls, as JSON. The recurrent state is not in it."""
Output = dict[str, Any]
"""What is said of one step of a session, as JSON."""
Examples = Mapping[str, Mapping[str, Any]]
"""OpenAPI examples: key to ``{"summary": ..., "value": ...}``."""


@dataclass(slots=True, eq=False)
class EncodedInputs:
    """The inputs of one session call as steps of the network; nobody changes it.

    Like :class:`AppliedInputs` it is not frozen: every call makes both, and that would take longer.

    Attributes:
        steps: ``[time, ...]`` in the graph's input type.
        reported: which of them the caller counts, in order; the others were put between, such as
            a start token or the missing steps of a gap.
        context: to remember after the call.
        detail: what the task needs to describe the outputs.
        source: the whole input that the bundle's encoder reads before the first step, and every step attends
            to; a session has the same one in all its calls, so it belongs into the context that it was opened
            with. What the encoder makes of it is not stored: whichever process goes on with the session makes
            the same bits of it again.
        keep_output: whether the last output is stored with the session, as ``before`` of its next call. One
            that is large is better left out, and what is needed of it put into the memory.
    """

    steps: NDArray[np.generic]
    reported: tuple[int, ...]
    context: Context
    detail: Sequence[Any]
    source: Source | None = None
    keep_output: bool = True


@dataclass(slots=True, eq=False)
class AppliedInputs:
    """A session call, the outputs ``[time, ...]`` of its steps, and the one before it, if any.

    Attributes:
        memory: what the task remembers of outputs, as JSON; kept with the session, whose calls share it and
            come in order. Its entries are replaced, and nothing in them is changed.
    """

    encoded: EncodedInputs
    before: NDArray[np.float32] | None
    outputs: NDArray[np.float32]
    memory: Context = field(default_factory=dict)

    def known(self, step: int) -> NDArray[np.float32] | None:
        """What the network said of a step of the call before it was fed."""
        return self.outputs[step - 1] if step else self.before


class SessionTask(Protocol):
    def open(self, options: Context) -> Context:
        """The context of a new session; raises InvalidInput."""

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        """Inputs to steps, after ``step`` earlier ones; raises InvalidInput, which names the element."""

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        """One output for each reported step of each call.

        What is said of a call never depends on those of other sessions: they are together for speed alone.
        """


@dataclass(frozen=True, slots=True, eq=False)
class SessionView:
    """A session as an action sees it; ``row`` and ``last`` output are ``None`` before the first step.

    Attributes:
        model: ``name@version``.
        mark: tells this state from all others.
        max_steps: steps that the session takes at once.
    """

    id: str
    model: str
    step: int
    context: Context
    row: NDArray[np.float32] | None
    last: NDArray[np.float32] | None
    mark: str
    max_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAction:
    """``POST /sessions/{id}/{name}``: an answer from a session's state.

    Either ``look`` is given, which needs no run of the network; or ``start``, for an action that goes on
    from the state by itself: its request has ``stream``; ``advance``, with which what is produced becomes
    steps of the session; and ``seq``, the number of the first of these, or ``None``. ``ending`` adds the step
    at which the session stands to its whole answer and to its last frame.

    Attributes:
        frames: classes of its frames, the last one last; empty when it does not stream.
        look: ``(model, view, request) -> answer``; raises InvalidInput.
        start: ``(model, view, request, point) -> StreamStart``; raises InvalidInput.
        kept: ``(assembler) -> inputs``: what a session is fed that keeps what was produced.
        ending: ``(answer or last frame, step) -> the same with the step``.
        again: ``(kept answer, point) -> the last frame and its event id``, for a reader who lost no other;
            ``None`` where more is missing.
        lacking: ends the sentence "session 'x' is on M, which ..." about a model without this action.
    """

    name: str
    request: type[Request]
    answer: type[BaseModel]
    doc: str
    examples: Examples = field(default_factory=dict)
    frames: tuple[type[BaseModel], ...] = ()
    look: Callable[[Any, SessionView, Any], BaseModel] | None = None
    start: Callable[[Any, SessionView, Any, Any], StreamStart] | None = None
    kept: Callable[[Any], list[Any]] | None = None
    ending: Callable[[Any, int], BaseModel] | None = None
    again: Callable[[bytes, Any], tuple[BaseModel, str] | None] | None = None
    lacking: str
