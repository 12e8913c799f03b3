"""A completion as it is started, and as the OpenAI API streams it: ``data:`` lines, then ``data: [DONE]``."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from app.core.errors import UnknownModel
from app.core.large_answers import json_of
from app.core.offload import offloaded
from app.edge.edge import Edge
from app.edge.errors import describe
from app.edge.http.event_stream import EventStream
from app.protocols.openai.assembler import CompletionAssembler
from app.protocols.openai.errors import openai_error
from app.protocols.openai.prepare import milliseconds, prepare_completion, text_requests
from app.protocols.openai.schema import Completion, CompletionRequest
from app.protocols.openai.scores import ScoredTicket
from app.service.catalog import Deployment
from app.service.stream import TaskStream
from app.tasks.decoded.prepare import produces_text

DONE = "[DONE]"
"""The last data of every stream."""


def text_tasks(edge: Edge) -> list[str]:
    """Names of the tasks whose models produce text."""
    return [task.name for task in edge.tasks if produces_text(task)]


async def start_completion(edge: Edge, request: CompletionRequest, id: str) -> TaskStream:
    """Start the texts of several prompts, all or none; frames are chunks."""
    requests = text_requests(request)
    service, limits = edge.service, edge.limits
    found = _find(edge, request.model)
    manifest = found.manifest
    with service.call(found.task.name, request.model) as call:
        call.asks(found)
        model = await found.loaded()
        prepared = await offloaded(
            milliseconds(requests), prepare_completion, request, requests, model, limits.max_queued_steps
        )
        ticket = service.submit(found, prepared.text.sequences, call)
    assembler = CompletionAssembler(request, prepared, model.codec, manifest, id)
    return TaskStream(assembler, ScoredTicket(ticket, prepared.scores), call)


def _find(edge: Edge, model: str | None) -> Deployment:
    catalog, tasks = edge.service.catalog, text_tasks(edge)
    defaults = [catalog.asked[task] for task in tasks if task in catalog.asked]
    wanted = [model] if model is not None else defaults
    found = catalog.find(wanted[0]) if wanted else None
    if found is not None and found.task.name in tasks:
        return found
    if tasks:
        edge.service.call(tasks[0], model).report("caller")
    available = [key for key, served in catalog.deployments.items() if served.task.name in tasks]
    raise UnknownModel(model if model is not None else "for completions", tuple(available))


class CompletionEvents(EventStream):
    """Writes the chunks of a completion; a failure is an error object in place of the next one."""

    last_data = b"data: %s\n\n" % DONE.encode()

    def __init__(
        self, stream: TaskStream, send_timeout_s: float, request_id: str, *, with_usage: bool
    ) -> None:
        super().__init__(stream, send_timeout_s, request_id)
        self._with_usage = with_usage

    async def _event(self, frame: Any) -> bytes:
        if isinstance(frame, Completion):
            if not frame.choices and not self._with_usage:
                return b""
            if frame.choices and frame.choices[0].logprobs is not None:
                return b"data: %s\n\n" % await json_of(frame, exclude_unset=True)
        return b"data: %s\n\n" % frame.__pydantic_serializer__.to_json(frame, exclude_unset=True)

    def _failure(self, error: Exception) -> BaseModel:
        return openai_error(describe(error, self._request_id))
