"""``/v1/models`` and ``/v1/completions``: what clients of the OpenAI API speak; see docs/protocols.md."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.openapi.models import Example
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.core.errors import UnknownModel
from app.core.large_answers import json_of
from app.edge.edge import Edge, edge_of, request_id_of
from app.edge.http.routing import BytesRoute, bytes_response, json_response
from app.edge.openapi import event_data
from app.protocols.openai.schema import (
    Completion,
    CompletionRequest,
    OpenAIErrorAnswer,
    OpenAIModel,
    OpenAIModels,
)
from app.protocols.openai.stream import DONE, CompletionEvents, start_completion, text_tasks

OWNER = "rnnserve"

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "model": OpenAIErrorAnswer}
    for status, text in (
        (400, "a parameter is wrong, or asks for what is not supported here"),
        (404, "no such model"),
        (413, "the body is over the limit"),
        (415, "the content type is not read here"),
        (503, "busy or shutting down; see Retry-After"),
        (504, "the deadline passed"),
    )
} | {"default": {"description": "any other failure", "model": OpenAIErrorAnswer}}

_CHUNK = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"anyOf": [{"const": DONE}, event_data(Completion, OpenAIErrorAnswer)]}},
}
COMPLETION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": f"the whole answer; with `stream`, chunks of the same shape, then `{DONE}`",
        "content": {"text/event-stream": {"itemSchema": _CHUNK}},
    }
}

EXAMPLES: dict[str, Example] = {
    "one": {
        "summary": "One prompt, up to an empty line",
        "value": {
            "model": "shakespeare",
            "prompt": "ROMEO:",
            "max_tokens": 80,
            "temperature": 0.7,
            "seed": 1,
            "stop": "\n\n",
        },
    },
    "scored": {
        "summary": "How likely two texts are to the model; no text is made",
        "value": {
            "model": "shakespeare",
            "prompt": ["The king is dead.", "The king is bread."],
            "max_tokens": 0,
            "echo": True,
            "logprobs": 0,
        },
    },
}

router = APIRouter(route_class=BytesRoute, prefix="/v1", tags=["OpenAI"])


@router.get("/models", response_model=OpenAIModels, responses={"default": ERRORS["default"]})
async def list_text_models(request: Request) -> Response:
    """The models that complete text, under their names and as `name@version`."""
    return json_response(OpenAIModels(data=list(_models(edge_of(request)).values())))


@router.get(
    "/models/{model}", response_model=OpenAIModel, responses={404: ERRORS[404], "default": ERRORS["default"]}
)
async def describe_text_model(request: Request, model: str) -> Response:
    """One model that completes text."""
    models = _models(edge_of(request))
    if model not in models:
        raise UnknownModel(model, tuple(models))
    return json_response(models[model])


@router.post("/models/{model}:predict", include_in_schema=False)
async def predict(request: Request, model: str) -> Response:
    """KServe's protocol V1 shares this prefix."""
    text = "KServe's V1 protocol is not served here; each task has its own address, listed at /docs"
    raise HTTPException(404, text)


@router.post("/completions", response_model=Completion, responses=ERRORS | COMPLETION)
async def complete_prompt(
    body: Annotated[CompletionRequest, Body(openapi_examples=EXAMPLES)], request: Request
) -> Response:
    """Continue one prompt or several; each text is what its prompt alone gives with the same seed."""
    edge = edge_of(request)
    request_id = request_id_of(request)
    stream = await start_completion(edge, body, f"cmpl-{request_id}")
    if body.stream:
        return CompletionEvents(stream, edge.limits.socket_send_s, request_id, with_usage=body.with_usage)
    answer: Any = await stream.whole()
    return bytes_response(await json_of(answer), stream.timing())


def _models(edge: Edge) -> dict[str, OpenAIModel]:
    """By every id that a request may give: `name`, `name@version` and `name@label`."""
    catalog, tasks = edge.service.catalog, text_tasks(edge)
    ids: set[str] = set()
    for reference, deployment in catalog.deployments.items():
        if deployment.manifest.task in tasks:
            name = deployment.manifest.name
            ids |= {name, reference, *(f"{name}@{label}" for label in catalog.labels(reference))}
    models: dict[str, OpenAIModel] = {}
    for id in sorted(ids):
        found = catalog.base(id)
        if found is not None:
            created = int(datetime.fromisoformat(found.manifest.provenance.created).timestamp())
            models[id] = OpenAIModel(id=id, object="model", created=created, owned_by=OWNER)
    return models
