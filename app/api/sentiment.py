"""``POST /sentiment``: texts in, labels and scores out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.requests import Request
from starlette.responses import Response

from app.api import examples
from app.api.edge import edge_of
from app.api.routing import PROBLEMS, BytesRoute, json_response
from app.schemas.sentiment import SentimentAnswer, SentimentRequest

router = APIRouter(route_class=BytesRoute, tags=["inference"])


@router.post("/sentiment", response_model=SentimentAnswer, responses=PROBLEMS)
async def sentiment(
    body: Annotated[SentimentRequest, Body(openapi_examples=examples.SENTIMENT)], request: Request
) -> Response:
    """Label one text or several; with `trace`, also how the verdict moves from token to token."""
    answer, timing = await edge_of(request).service.sentiment(body)
    return json_response(answer, timing)
