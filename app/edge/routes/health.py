"""``GET /healthz``: is the process worth keeping? ``/readyz``: should it get requests? And ``/metrics``."""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.core.schema import Answer
from app.edge.edge import Edge, edge_of
from app.edge.http.routing import BytesRoute, json_response

router = APIRouter(route_class=BytesRoute, tags=["operations"])


class Health(Answer):
    """``GET /healthz``."""

    status: Literal["ok", "failed"]
    dead: list[str] = Field(description="models whose engine has stopped; the process should be replaced")


class Readiness(Answer):
    """``GET /readyz``."""

    ready: bool
    reason: str | None = Field(description="why not")
    models: list[str]


@router.get("/healthz", response_model=Health, responses={503: {"model": Health}})
async def check_health(request: Request) -> Response:
    """Whether the process should go on; false once a model's engine has died."""
    dead = _dead(edge_of(request))
    health = Health(status="failed" if dead else "ok", dead=dead)
    return json_response(health, status=503 if dead else 200)


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def check_readiness(request: Request) -> Response:
    """Whether requests should be sent here: models served, engines alive, the store there, no shutdown."""
    found = readiness(edge_of(request))
    return json_response(found, status=200 if found.ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
async def read_metrics(request: Request) -> Response:
    """Counters, gauges and histograms in Prometheus' text format."""
    # Putting several workers together takes tens of milliseconds, which no request should wait for.
    body, content_type = await asyncio.to_thread(edge_of(request).metrics.exposition)
    return Response(body, headers={"content-type": content_type})


def readiness(edge: Edge) -> Readiness:
    dead = _dead(edge)
    reason: str | None
    if edge.lifecycle.draining:
        reason = "shutting down"
    elif not edge.lifecycle.started():
        reason = "other workers are starting"
    elif not edge.service.catalog.deployments:
        reason = "no model is served"
    elif dead:
        reason = f"the engine of {', '.join(dead)} has stopped"
    else:
        reason = None if edge.sessions is None else edge.sessions.trouble()
    return Readiness(ready=reason is None, reason=reason, models=list(edge.service.catalog.deployments))


def _dead(edge: Edge) -> list[str]:
    return [name for name, alive in edge.alive.items() if not alive()]
