"""``POST /v2/models/{model}/infer``: tensors in, tensors out, as JSON or behind it."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from app.edge.edge import owner_of
from app.edge.http.routing import server_timing
from app.protocols.oip.codec import encode
from app.protocols.oip.examples import INFER
from app.protocols.oip.router import ModelPath, VersionPath, tensors_of
from app.protocols.oip.routing import ERRORS, HEADER_LENGTH, OipRoute, header_length
from app.protocols.oip.schema import InferAnswer, InferRequest
from app.protocols.oip.service import TensorAnswer


class InferRoute(OipRoute):
    """Parts the body where ``Inference-Header-Content-Length`` says; 0 makes all of it the input's data."""

    def read(self, model: type[BaseModel], body: bytes, request: Request) -> BaseModel:
        """The request in ``body``, with its binary data."""
        length = header_length(request, body)
        if length is None:
            return InferRequest.model_validate_json(body)
        view = memoryview(body)
        if length == 0 and body:
            path = request.path_params
            return tensors_of(request).raw(path["model"], path.get("version"), view)
        return InferRequest.model_validate_json(body[:length]).carrying(view[length:])


_BINARY: dict[str, Any] = {
    "description": "the JSON, and behind it the data of binary tensors",
    "schema": {"type": "string", "format": "binary"},
}
_DOCUMENTED: dict[str, Any] = {
    "responses": ERRORS | {200: {"content": {"application/octet-stream": _BINARY}}},
    "openapi_extra": {
        "parameters": [
            {
                "name": "Inference-Header-Content-Length",
                "in": "header",
                "required": False,
                "description": "bytes of JSON at the beginning of the body, where binary data follows",
                "schema": {"type": "integer", "minimum": 0},
            }
        ],
        "requestBody": {"content": {"application/octet-stream": _BINARY}},
    },
}

router = APIRouter(route_class=InferRoute, tags=["open inference protocol"])


@router.post("/v2/models/{model}/infer", response_model=InferAnswer, **_DOCUMENTED)
async def infer(
    body: Annotated[InferRequest, Body(openapi_examples=INFER)], request: Request, model: ModelPath
) -> Response:
    """Answer a batch, or, with `sequence_id`, the next part of a sequence."""
    return _answer(body, await tensors_of(request).infer(model, None, body, owner_of(request)))


@router.post("/v2/models/{model}/versions/{version}/infer", response_model=InferAnswer, **_DOCUMENTED)
async def infer_version(
    body: Annotated[InferRequest, Body(openapi_examples=INFER)],
    request: Request,
    model: ModelPath,
    version: VersionPath,
) -> Response:
    """As without a version, of a version or a label."""
    return _answer(body, await tensors_of(request).infer(model, version, body, owner_of(request)))


def _answer(asked: InferRequest, answer: TensorAnswer) -> Response:
    parts = [
        encode(tensor, binary=binary) for tensor, binary in zip(answer.tensors, answer.binary, strict=True)
    ]
    shown: dict[str, Any] = {"model_name": answer.model, "model_version": answer.version}
    if asked.id is not None:
        shown["id"] = asked.id
    shown["outputs"] = [output for output, _ in parts]
    head = orjson.dumps(shown, option=orjson.OPT_SERIALIZE_NUMPY)
    headers = {} if answer.timing is None else {"server-timing": server_timing(answer.timing)}
    if not any(answer.binary):
        return Response(head, headers=headers, media_type="application/json")
    headers[HEADER_LENGTH] = str(len(head))
    body = b"".join([head, *(data for _, data in parts)])
    return Response(body, headers=headers, media_type="application/octet-stream")
