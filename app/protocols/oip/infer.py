"""``POST /v2/models/{model}/infer``: tensors in, tensors out, as JSON or behind it."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from app.core.errors import InvalidInput
from app.edge.edge import edge_of, owner_of
from app.edge.http.body import json_text
from app.edge.http.routing import server_timing
from app.protocols.oip.codec import encode
from app.protocols.oip.router import tensors_of
from app.protocols.oip.routing import ModelPath, OipRoute, by_version
from app.protocols.oip.schema import InferAnswer, InferRequest
from app.tasks.session import Examples

_LENGTH = "Inference-Header-Content-Length"


class InferRoute(OipRoute):
    """Parts the body where ``Inference-Header-Content-Length`` says; 0 makes all of it the input's data."""

    absent = b""

    async def parse(
        self, model: type[BaseModel], content_type: str, body: bytes, request: Request
    ) -> BaseModel:
        given = request.headers.get(_LENGTH)
        if given is None:
            return InferRequest.model_validate_json(await json_text(body, edge_of(request)))
        if not (given.isascii() and given.isdigit() and len(given) <= 10 and int(given) <= len(body)):
            raise InvalidInput(
                _LENGTH,
                f"{_LENGTH} is a number of bytes of the body, which has {len(body)}",
                allowed={"min": 0, "max": len(body)},
            )
        length, view = int(given), memoryview(body)
        if length == 0 and body:
            path = request.path_params
            return await tensors_of(request).raw(path["model"], path.get("version"), view)
        head = await json_text(body[:length], edge_of(request))
        return InferRequest.model_validate_json(head).carrying(view[length:])


async def infer_tensors(body: InferRequest, request: Request, model: ModelPath) -> Response:
    """Answer a batch, or, with `sequence_id`, the next part of a sequence."""
    version = request.path_params.get("version")
    answer = await tensors_of(request).infer(model, version, body, owner_of(request))
    parts = [
        encode(tensor, binary=binary) for tensor, binary in zip(answer.tensors, answer.binary, strict=True)
    ]
    shown: dict[str, Any] = {"model_name": answer.manifest.name, "model_version": answer.manifest.version}
    if body.id is not None:
        shown["id"] = body.id
    shown["outputs"] = [output for output, _ in parts]
    head = orjson.dumps(shown, option=orjson.OPT_SERIALIZE_NUMPY)
    headers = {} if answer.timing is None else {"server-timing": server_timing(answer.timing)}
    if not any(answer.binary):
        return Response(head, headers=headers, media_type="application/json")
    headers[_LENGTH] = str(len(head))
    data = b"".join([head, *(data for _, data in parts)])
    return Response(data, headers=headers, media_type="application/octet-stream")


def infer_router(examples: Examples) -> APIRouter:
    binary = {
        "description": "the JSON, and behind it the data of binary tensors",
        "schema": {"type": "string", "format": "binary"},
    }
    length = {
        "name": _LENGTH,
        "in": "header",
        "required": False,
        "description": "bytes of JSON at the beginning of the body, where binary data follows",
        "schema": {"type": "integer", "minimum": 0},
    }
    content = {"application/json": {"examples": dict(examples)}, "application/octet-stream": binary}
    router = APIRouter(route_class=InferRoute, tags=["open inference protocol"])
    by_version(
        router,
        "POST",
        "infer",
        response_model=InferAnswer,
        responses={200: {"content": {"application/octet-stream": binary}}},
        openapi_extra={"parameters": [length], "requestBody": {"content": content}},
    )(infer_tensors)
    return router
