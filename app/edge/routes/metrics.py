"""``GET /metrics``: the text that Prometheus scrapes."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.edge.edge import edge_of
from app.edge.http.routing import BytesRoute

router = APIRouter(route_class=BytesRoute, tags=["operations"])


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Counters, gauges and histograms in Prometheus' text format."""
    # Putting several workers together takes tens of milliseconds, which no request should wait for.
    body, content_type = await asyncio.to_thread(edge_of(request).metrics.exposition)
    return Response(body, headers={"content-type": content_type})
