"""``POST /sentiment``: texts in, labels and scores out; natively, or as a Hugging Face client asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from app.edge.docs import examples
from app.edge.edge import edge_of
from app.edge.http.routing import PROBLEMS, TaskRoute, json_response
from app.tasks.sentiment.schema import SentimentAnswer, SentimentRequest
from app.tasks.sentiment.text_classification_schema import TextClassification, TextClassificationRequest

_INPUTS = b'"inputs"'


class SentimentRoute(TaskRoute):
    """Reads a body that has ``inputs`` as a text classification."""

    task = "sentiment"

    async def parse(
        self, model: type[BaseModel], content_type: str, body: bytes, request: Request
    ) -> BaseModel:
        """The request in ``body``, of the one class or the other."""
        shape = TextClassificationRequest if _has_inputs(body) else SentimentRequest
        return await super().parse(shape, content_type, body, request)


def _has_inputs(body: bytes) -> bool:
    """Whether a JSON object has the field; the body is parsed for it only where the word occurs."""
    if _INPUTS not in body:
        return False
    try:
        document = from_json(body)
    except ValueError:
        return False
    return isinstance(document, dict) and "inputs" in document


router = APIRouter(route_class=SentimentRoute, tags=["inference"])


@router.post("/sentiment", response_model=SentimentAnswer | TextClassification, responses=PROBLEMS)
async def sentiment(
    body: Annotated[SentimentRequest | TextClassificationRequest, Body(openapi_examples=examples.SENTIMENT)],
    request: Request,
) -> Response:
    """Label one text or several; with `trace`, also how the verdict moves from token to token.

    With `inputs` in place of `text`, request and answer have the shape of Hugging Face's
    text-classification task.
    """
    service = edge_of(request).service
    if isinstance(body, TextClassificationRequest):
        found, timing = await service.classify(body)
        return json_response(found, timing)
    answer, timing = await service.sentiment(body)
    return json_response(answer, timing)
