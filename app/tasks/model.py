"""A task on one bundle: a request to steps, and outputs or events to an answer or to frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from app.core.beam import BeamRequest
from app.core.sequence import BlockRequest, Encoded, Event, Read, SequenceRequest, Source
from app.tasks.session import SessionTask
from app.tasks.tensor_table import TensorTable


@dataclass(slots=True, eq=False)
class Prepared:
    """A validated request of a task that answers at once; tasks add what their answer needs.

    Attributes:
        blocks: sequences of equal length together; and beam searches, each as a block of one sequence.
        members: for each block, the index in the request of each of its sequences.
        num_tokens: for the metrics; ``None`` where the request has none.
        further: ``(results of the blocks before, in their order) ->`` the blocks that are run next, such as
            steps drawn from what the network said; none ends it. The request's deadline holds for all.
        further_ms: about how long one call of it takes.
        sources: whole inputs for the bundle's encoder, which reads them before anything else is run.
        begin: ``(what it made of them, in their order) ->`` the ``blocks``, which are empty until then;
            ``members`` are known before.
    """

    blocks: Sequence[Work]
    members: list[list[int]]
    num_tokens: int | None = None
    further: Further | None = None
    further_ms: float = 0.0
    sources: Sequence[Source] = ()
    begin: Callable[[Sequence[Encoded]], Sequence[Work]] | None = None


Work = BlockRequest | BeamRequest
Further = Callable[[Sequence[Any]], Sequence[Work]]
"""From a :class:`BlockResult` for each block and a :class:`BeamResult` for each search."""


def blocks_of(steps: Sequence[NDArray[np.generic]], read: Read) -> tuple[list[BlockRequest], list[list[int]]]:
    """The ``blocks`` and ``members`` of sequences ``[time, ...]``."""
    if len(steps) == 1:
        return [BlockRequest(steps[0][None], read)], [[0]]
    by_length: dict[int, list[int]] = {}
    for index, sequence in enumerate(steps):
        by_length.setdefault(len(sequence), []).append(index)
    members = list(by_length.values())
    return [BlockRequest(np.stack([steps[index] for index in block]), read) for block in members], members


class Assembler(Protocol):
    """Makes frames of the engine's events; one instance serves one stream."""

    @property
    def ended(self) -> bool:
        """Whether every sequence has had its terminal event."""

    @property
    def event_id(self) -> str | None:
        """Where a reader stands that has every frame given out; ``None``: nothing can be resumed."""

    @property
    def summary(self) -> Summary: ...

    def push(self, events: Sequence[tuple[int, Event]]) -> Iterable[BaseModel]:
        """The frames that became certain; raises RnnserveError when a sequence failed."""

    def stop(self) -> Iterable[BaseModel]:
        """What was held back, when the client ends the stream early."""

    def done(self) -> BaseModel: ...

    def answer(self, frames: Sequence[Any]) -> BaseModel:
        """All frames, the last one included, as the answer to a request that is not streamed."""


@dataclass(frozen=True, slots=True)
class Summary:
    """For the metrics: why each sequence ended, tokens of the request and of the answer."""

    reasons: Sequence[str]
    supplied: int
    produced: int


@dataclass(slots=True, eq=False)
class StreamStart:
    """The sequences of a stream, and what makes frames of them.

    Attributes:
        sequences: empty where they depend on ``sources``.
        sources: whole inputs for the bundle's encoder, which reads them first.
        begin: ``(what it made of them, in their order) ->`` the sequences.
    """

    sequences: list[SequenceRequest]
    assembler: Assembler
    sources: Sequence[Source] = ()
    begin: Callable[[Sequence[Encoded]], list[SequenceRequest]] | None = None


class ResumePoint(Protocol):
    """The parsed ``Last-Event-ID``; ``origin`` marks the session state that its stream began from, if any."""

    @property
    def origin(self) -> str: ...

    @property
    def complete(self) -> bool:
        """Whether nothing follows."""

    def is_of(self, request: Any, model: str) -> bool:
        """Whether it belongs to an answer of this request by the model ``name@version``."""


class TaskModel(Protocol):
    """A task on one bundle. Safe to share between threads.

    Attributes:
        inputs: the bundle in the task's own terms, for ``GET /models/{name}``; an ``example`` among them is a
            request, which the OpenAPI document has as well.
        limits: what a request may ask for, for the same.
    """

    @property
    def inputs(self) -> Mapping[str, Any]: ...

    @property
    def limits(self) -> Mapping[str, Any]: ...

    @property
    def session(self) -> SessionTask: ...

    @property
    def tensors(self) -> TensorTable: ...

    def milliseconds(self, request: Any) -> float:
        """About how long a request takes to be prepared, so that long work is kept off the event loop."""


class Answering(Protocol):
    """Answers requests at once."""

    def milliseconds(self, request: Any) -> float:
        """As in :class:`TaskModel`."""

    def prepare(self, request: Any) -> Prepared:
        """Raises InvalidInput: a field is wrong for this model; names it and what is allowed."""

    def finish(self, prepared: Any, outputs: list[Any]) -> BaseModel:
        """``outputs``: of each sequence of the prepared blocks the first output, ``[steps read, ...]``.

        Of a beam search it is the :class:`~app.core.beam.BeamResult`.
        """


class AnsweringModel(Answering, TaskModel, Protocol):
    """A model of a task whose requests are answered at once."""


class StreamingModel(TaskModel, Protocol):
    """A model of a task that streams."""

    def start(self, request: Any, point: Any = None) -> StreamStart:
        """Start a generation, or go on behind the ``point`` of an earlier one of the same request.

        Raises:
            InvalidInput: a field is wrong for this model, or the point is of another request.
        """
