"""The Task protocol: all that generic code knows of a task.

    Task             what holds for every model of the task: its name, requests, limits, documents
      .open(bundle)
    TaskModel        the task on one bundle: a request to steps, outputs to an answer
      .session       the same for sessions: inputs to steps, outputs one by one

From a registered task follow ``POST /{name}``, ``WS /{name}`` where it streams, its sessions, its tensors in
the Open Inference Protocol, the OpenAPI document, metric labels, limits and settings, ``/models``, and the
load that ``rnnserve bench`` makes. Tasks are registered in one list, in the composition root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from app.bundle.manifest import Spec
from app.bundle.reader import Bundle
from app.core.limits import TaskLimits
from app.core.schema import Request
from app.core.sequence import BlockRequest, Event, Read, SequenceRequest
from app.tasks.tensor_table import TensorTable

Context = dict[str, Any]
"""What the session side of a task remembers between calls, as JSON. The recurrent state is not in it."""
Output = dict[str, Any]
"""What is said of one step of a session, as JSON."""
Examples = Mapping[str, Mapping[str, Any]]
"""OpenAPI examples: key to ``{"summary": ..., "value": ...}``."""


@dataclass(slots=True, eq=False)
class Prepared:
    """A validated request of a task that answers at once; tasks add what their answer needs.

    Attributes:
        blocks: sequences of equal length together, each ready for the engine.
        members: for each block, the index in the request of each of its sequences.
        num_tokens: tokens of the request, for the metrics; ``None`` where it has none.
    """

    blocks: list[BlockRequest]
    members: list[list[int]]
    num_tokens: int | None = None


def blocks_of(steps: Sequence[NDArray[np.generic]], read: Read) -> tuple[list[BlockRequest], list[list[int]]]:
    """Sequences as blocks, those of equal length together: the ``blocks`` and ``members`` of a request.

    Args:
        steps: of each sequence, ``[time, ...]``.
        read: which outputs to read.
    """
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
        ...

    @property
    def event_id(self) -> str | None:
        """Where a reader stands that has every frame given out; ``None``: nothing can be resumed."""
        ...

    @property
    def summary(self) -> Summary:
        """What the stream came to so far."""
        ...

    def push(self, events: Sequence[tuple[int, Event]]) -> Iterable[BaseModel]:
        """The frames that became certain: (index of the sequence, event) in, frames out.

        Raises:
            RnnserveError: a sequence failed.
        """
        ...

    def stop(self) -> Iterable[BaseModel]:
        """What was held back, when the client ends the stream early."""
        ...

    def done(self) -> BaseModel:
        """The last frame."""
        ...

    def answer(self, frames: Sequence[Any]) -> BaseModel:
        """All frames, the last one included, as the answer to a request that is not streamed."""
        ...


@dataclass(frozen=True, slots=True)
class Summary:
    """What a stream came to, for the metrics.

    Attributes:
        reasons: why each sequence ended.
        supplied: tokens of the request.
        produced: tokens of the answer.
    """

    reasons: Sequence[str]
    supplied: int
    produced: int


@dataclass(slots=True, eq=False)
class StreamStart:
    """A validated request of a task that streams."""

    sequences: list[SequenceRequest]
    assembler: Assembler


class ResumePoint(Protocol):
    """Where the reader of an earlier stream stands: the parsed ``Last-Event-ID``.

    Attributes:
        origin: mark of the session state that the stream began from; empty without a session.
    """

    @property
    def origin(self) -> str: ...

    @property
    def complete(self) -> bool:
        """Whether nothing follows."""
        ...

    def is_of(self, request: Any, model: str) -> bool:
        """Whether it belongs to an answer of this request by the model ``name@version``."""
        ...


class TaskModel(Protocol):
    """A task on one bundle. Safe to share between threads."""

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The bundle in the task's own terms, for ``GET /models/{name}``."""
        ...

    @property
    def limits(self) -> Mapping[str, Any]:
        """What a request to this model may ask for, for ``GET /models/{name}``."""
        ...

    @property
    def session(self) -> SessionTask:
        """Its session side."""
        ...

    @property
    def tensors(self) -> TensorTable:
        """Its tensors."""
        ...

    def milliseconds(self, request: Any) -> float:
        """About how long a request takes to be prepared, so that long work is kept off the event loop."""
        ...


class AnsweringModel(TaskModel, Protocol):
    """A model of a task whose requests are answered at once."""

    def prepare(self, request: Any) -> Prepared:
        """A request as blocks.

        Raises:
            InvalidInput: a field is wrong for this model; names it and what is allowed.
        """
        ...

    def finish(self, prepared: Any, outputs: list[NDArray[np.float32]]) -> BaseModel:
        """The answer.

        Args:
            prepared: what :meth:`prepare` returned.
            outputs: of each sequence of the request the first output, ``[steps read, ...]``.
        """
        ...


class StreamingModel(TaskModel, Protocol):
    """A model of a task that streams."""

    def start(self, request: Any, point: Any = None) -> StreamStart:
        """A request as sequences.

        Args:
            request: of the task's own class.
            point: go on behind this place of an earlier stream of the same request.

        Raises:
            InvalidInput: a field is wrong for this model, or the point is of another request.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class EncodedInputs:
    """The inputs of one session call as steps of the network.

    Attributes:
        steps: ``[time, ...]`` in the graph's input type.
        reported: which of them the caller counts, in order; the others were put between, such as
            a start token or the missing steps of a gap.
        context: to remember after the call.
        detail: what the task needs to describe the outputs.
    """

    steps: NDArray[np.generic]
    reported: tuple[int, ...]
    context: Context
    detail: Sequence[Any]


@dataclass(frozen=True, slots=True, eq=False)
class AppliedInputs:
    """A session call and what the network made of it.

    Attributes:
        before: the last output before the call; ``None`` before the first step.
        outputs: ``[time, ...]``, an output for each step.
    """

    encoded: EncodedInputs
    before: NDArray[np.float32] | None
    outputs: NDArray[np.float32]

    def known(self, step: int) -> NDArray[np.float32] | None:
        """What the network said of a step of the call before it was fed."""
        return self.outputs[step - 1] if step else self.before


class SessionTask(Protocol):
    """The session side of a model."""

    def open(self, options: Context) -> Context:
        """The context of a new session.

        Raises:
            InvalidInput: an option is unknown or wrong.
        """
        ...

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        """Inputs to steps.

        Args:
            context: of the session.
            step: steps applied before.
            inputs: as the caller sent them.

        Raises:
            InvalidInput: the inputs are wrong; names the element.
        """
        ...

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        """One output for each reported step of each call.

        What is said of a call never depends on the others: they are together for speed alone.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SessionView:
    """A session as an action sees it.

    Attributes:
        model: ``name@version``.
        row: ``[S]``, the recurrent state; ``None`` before the first step.
        last: output of the last step; ``None`` before the first.
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


class ContinueRequest(Protocol):
    """What the requests have of actions that go on from a state.

    Attributes:
        stream: the answer is wanted as frames.
        advance: what is produced becomes steps of the session.
        seq: with ``advance``, number of the first of them: then exactly once.
    """

    @property
    def stream(self) -> bool: ...
    @property
    def advance(self) -> bool: ...
    @property
    def seq(self) -> int | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAction:
    """``POST /sessions/{id}/{name}``: an answer from a session's state.

    Either ``look`` is given, which needs no run of the network; or ``start``, for an action that goes on
    from the state by itself: its request is a :class:`ContinueRequest`, and ``ending`` adds the step at which
    the session stands to its whole answer and to its last frame.

    Attributes:
        request, answer: their classes.
        doc: for the OpenAPI document.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyReader:
    """A content type besides JSON that ``POST /{task}`` reads.

    Attributes:
        name: of the format, for people.
        media_types: the first is the one that the document names.
        read: ``(body, query, limits) -> request``; raises InvalidInput.
        query: class of the URL's query, read from text; with a JSON body its fields belong into the body.
        milliseconds_per_kib: about how long reading takes.
    """

    name: str
    media_types: tuple[str, ...]
    read: Callable[[bytes, Any, Any], BaseModel]
    query: type[BaseModel] | None = None
    examples: Examples = field(default_factory=dict)
    milliseconds_per_kib: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What ``rnnserve bench`` sends.

    Attributes:
        body: ``(random, options) -> fields`` of one request; ``options`` are those of the
            command line by name.
        answered: bytes that a good answer holds.
        inputs: ``(number) -> JSON`` of the inputs of a session's n-th event, one step.
        streams: whether the frames of an answer are counted.
    """

    body: Callable[[Any, Mapping[str, Any]], dict[str, Any]]
    answered: bytes
    inputs: Callable[[int], bytes]
    streams: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task, as its folder declares it.

    Attributes:
        name: in paths, manifests, metric labels and settings.
        doc: of ``POST /{name}``, for the OpenAPI document.
        spec: class of the manifest's section that its bundles carry.
        limits: class of its limits.
        open: a bundle of the task and its limits to a model. Raises BundleError: tokenizer, network and spec
            do not fit each other.
        request, answer: their classes, or unions of classes.
        parse: a JSON body to a request, where it is not the only class; raises ValidationError.
        reads: further content types.
        frames: classes of the frames that a request with ``stream`` is answered with, the last one last;
            empty when the task does not stream. A task that streams opens a :class:`StreamingModel`, any
            other an :class:`AnsweringModel`.
        point: a text of ``Last-Event-ID`` to a :class:`ResumePoint`; raises InvalidInput.
        actions: on its sessions.
        default_model: name of the model that answers requests which name none.
        step_examples: of ``POST /sessions/{id}/steps``.
        tensor_examples: of ``POST /v2/models/{model}/infer``.
        load: of ``rnnserve bench``.
    """

    name: str
    doc: str
    spec: type[Spec]
    limits: type[TaskLimits]
    open: Callable[[Bundle, Any], Any]
    request: Any
    answer: Any
    default_model: str
    load: Load
    examples: Examples = field(default_factory=dict)
    step_examples: Examples = field(default_factory=dict)
    tensor_examples: Examples = field(default_factory=dict)
    parse: Callable[[bytes], BaseModel] | None = None
    reads: tuple[BodyReader, ...] = ()
    frames: tuple[type[BaseModel], ...] = ()
    point: Callable[[str], ResumePoint] | None = None
    actions: tuple[SessionAction, ...] = ()
