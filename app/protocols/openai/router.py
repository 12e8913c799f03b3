"""``/v1/models`` and ``/v1/completions``: what clients of the OpenAI API speak; see docs/protocols.md."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.bundle.manifest import Manifest
from app.core.errors import UnknownModel
from app.edge.edge import Edge, edge_of, request_id_of
from app.edge.http.routing import BytesRoute, bytes_response, json_response
from app.edge.openapi import event_data
from app.protocols.openai import examples
from app.protocols.openai.schema import (
    Completion,
    CompletionRequest,
    OpenAIErrorAnswer,
    OpenAIModel,
    OpenAIModels,
)
from app.protocols.openai.stream import (
    DONE,
    CompletionEvents,
    json_of,
    num_listed,
    start_completion,
    text_tasks,
)

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

router = APIRouter(route_class=BytesRoute, prefix="/v1", tags=["OpenAI"])


@router.get("/models", response_model=OpenAIModels, responses={"default": ERRORS["default"]})
async def list_models(request: Request) -> Response:
    """The models that complete text, under their names and as `name@version`."""
    return json_response(OpenAIModels(data=list(_models(edge_of(request)).values())))


@router.get(
    "/models/{model}", response_model=OpenAIModel, responses={404: ERRORS[404], "default": ERRORS["default"]}
)
async def get_model(request: Request, model: str) -> Response:
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


@router.post(
    "/completions",
    response_model=Completion,
    responses=ERRORS | COMPLETION,
)
async def complete(
    body: Annotated[CompletionRequest, Body(openapi_examples=examples.COMPLETION)], request: Request
) -> Response:
    """Continue one prompt or several; each text is what its prompt alone gives with the same seed."""
    edge = edge_of(request)
    request_id = request_id_of(request)
    stream = await start_completion(edge, body, f"cmpl-{request_id}")
    if body.stream:
        return CompletionEvents(stream, edge.limits.socket_send_s, request_id, with_usage=body.with_usage)
    answer: Any = await stream.whole()
    return bytes_response(await json_of(answer, num_listed(answer)), stream.timing())


def _models(edge: Edge) -> dict[str, OpenAIModel]:
    """By every id that a request may give: `name`, `name@version` and `name@label`."""
    catalog, tasks = edge.service.catalog, text_tasks(edge)
    ids: dict[str, None] = {}
    for reference, one in catalog.deployments.items():
        if one.manifest.task in tasks:
            name = one.manifest.name
            ids |= dict.fromkeys(
                [name, reference, *(f"{name}@{label}" for label in catalog.labels(reference))]
            )
    found = {id: catalog.base(id) for id in sorted(ids)}
    return {id: _described(id, one.manifest) for id, one in found.items() if one is not None}


def _described(id: str, manifest: Manifest) -> OpenAIModel:
    created = int(datetime.fromisoformat(manifest.provenance.created).timestamp())
    return OpenAIModel(id=id, object="model", created=created, owned_by=OWNER)
