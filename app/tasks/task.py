"""The Task protocol: all that generic code knows of a task.

    Task             what holds for every model of the task: its name, requests, limits, documents
      .open(bundle)
    TaskModel        the task on one bundle: a request to steps, outputs to an answer
      .session       the same for sessions: inputs to steps, outputs one by one

From a registered task follow ``POST /{name}``, ``WS /{name}`` where it streams, its sessions, its tensors in
the Open Inference Protocol, the OpenAPI document, metric labels, limits and settings, ``/models``, and the
load that ``rnnserve bench`` makes; from its operations, further paths; from its commands, those of the shell.
Tasks are registered in one list, in the composition root.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from app.bundle.manifest import Manifest, Spec
from app.bundle.reader import Bundle
from app.core.errors import InvalidManifest
from app.core.limits import TaskLimits
from app.tasks.batch import Batch
from app.tasks.live import Live
from app.tasks.model import Answering, ResumePoint
from app.tasks.session import Examples, SessionAction


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyReader:
    """A content type besides JSON that ``POST /{task}`` reads.

    Attributes:
        name: of the format, for people.
        media_types: the first is the one that the document names.
        read: ``(body, query, limits) -> request``; raises InvalidInput.
        query: class of the URL's query, read from text; with a JSON body its fields belong into the body.
        begins: first bytes of a body that tell it where its content type does not.
    """

    name: str
    media_types: tuple[str, ...]
    read: Callable[[bytes, Any, Any], BaseModel]
    query: type[BaseModel] | None = None
    begins: tuple[bytes, ...] = ()
    examples: Examples = field(default_factory=dict)
    milliseconds_per_kib: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerWriter:
    """A content type besides JSON that an answer may be asked for in, with ``Accept``.

    Attributes:
        write: ``(answer) -> its bytes``.
        milliseconds: ``(answer) ->`` about how long that takes.
        example: for the OpenAPI document.
    """

    media_type: str
    write: Callable[[Any], bytes]
    milliseconds: Callable[[Any], float]
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """``POST {path}``: what else the models of a task answer at once, counted as requests of the task.

    Attributes:
        path: begins with a slash; no two operations have the same.
        doc: for the OpenAPI document.
        request, answer: their classes; the request has the field ``model``.
        of: ``(model of the task) ->`` its side that prepares and finishes these requests.
        parse: a JSON body to a request, where it is not the only class; raises ValidationError.
        reads, writes: further content types, of requests and of answers.
        fetched: asked by GET, without a body: a request has its defaults.
    """

    path: str
    doc: str
    request: Any
    answer: Any
    of: Callable[[Any], Answering]
    examples: Examples = field(default_factory=dict)
    parse: Callable[[bytes], BaseModel] | None = None
    reads: tuple[BodyReader, ...] = ()
    writes: tuple[AnswerWriter, ...] = ()
    wanted: Callable[[Any], str | None] | None = None
    fetched: bool = False


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


Ask = Callable[[Sequence[Any]], AsyncIterator[Any]]
"""Requests of a task to their answers, in their order, by models in this process or by a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """``rnnserve {name} FILE``: what a task does with a file from a shell.

    Attributes:
        doc: its help.
        options: class whose fields are the flags, read from text.
        run: ``(FILE, options, ask)``; prints what it found. Raises RnnserveError, which is told in one line.
    """

    name: str
    doc: str
    options: type[BaseModel]
    run: Callable[[Path, Any, Ask], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task, as its folder declares it.

    Attributes:
        name: in paths, manifests, metric labels and settings.
        doc: of ``POST /{name}``, for the OpenAPI document.
        spec: class of the manifest's section that its bundles carry.
        open: ``(bundle, limits) -> model``. Raises BundleError: tokenizer, network and spec do not fit.
        request, answer: their classes, or unions of classes.
        parse: a JSON body to a request, where it is not the only class; raises ValidationError.
        reads, writes: further content types, of requests and of answers that are not streamed.
        wanted: ``(request) ->`` the content type that it asks for itself, if it does.
        live: of a task that does not stream: what ``WS /{name}`` makes of binary frames.
        frames: classes of the frames that a request with ``stream`` is answered with, the last one last;
            empty when the task does not stream. One that streams opens a
            :class:`~app.tasks.model.StreamingModel`, any other an :class:`~app.tasks.model.AnsweringModel`.
        whole: of a task that streams: its models are both, and a request without ``stream`` is answered at
            once.
        point: a text of ``Last-Event-ID`` to a :class:`~app.tasks.model.ResumePoint`; raises InvalidInput.
        actions: on its sessions.
        operations: further paths, beside ``POST /{name}``.
        commands: of the shell, beside those of the service.
        batch: how files of any size are answered without a server.
        default_model: answers requests which name none.
        step_examples: of ``POST /sessions/{id}/steps``.
        tensor_examples: of ``POST /v2/models/{model}/infer``.
        page: folder of its panel on the page, if it has one; docs/page.md says what is in it.
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
    writes: tuple[AnswerWriter, ...] = ()
    wanted: Callable[[Any], str | None] | None = None
    live: Live | None = None
    frames: tuple[type[BaseModel], ...] = ()
    whole: bool = False
    point: Callable[[str], ResumePoint] | None = None
    actions: tuple[SessionAction, ...] = ()
    operations: tuple[Operation, ...] = ()
    commands: tuple[Command, ...] = ()
    batch: Batch | None = None
    page: Path | None = None


class Tasks:
    """Tasks by name, in the order of their registration; those without ``limits`` have their defaults."""

    def __init__(self, tasks: Iterable[Task], limits: Mapping[str, TaskLimits] | None = None) -> None:
        self.by_name = {task.name: task for task in tasks}
        given = limits or {}
        self.limits = {name: given.get(name) or task.limits() for name, task in self.by_name.items()}

    def __iter__(self) -> Iterator[Task]:
        return iter(self.by_name.values())

    def of(self, manifest: Manifest) -> Task:
        """The task of a bundle; raises InvalidManifest."""
        task = self.by_name.get(manifest.task)
        if task is None:
            known = ", ".join(self.by_name) or "none"
            raise InvalidManifest(
                f"{manifest.reference}: no task {manifest.task!r} is served here, only {known}"
            )
        return task

    def open(self, bundle: Bundle) -> tuple[Task, Any]:
        """The task of a bundle, and the model that it makes of it; raises BundleError."""
        task = self.of(bundle.manifest)
        bundle.manifest.spec_as(task.spec).check(bundle.manifest.graph, bundle.tokenizer)
        return task, task.open(bundle, self.limits[task.name])
