"""``POST /forecast``: JSON or CSV in, quantiles out."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from app.core.errors import InvalidInput
from app.edge.docs import examples
from app.edge.edge import edge_of
from app.edge.http.routing import PROBLEMS, TaskRoute, json_response, query_of
from app.tasks.forecast.csv_body import read_csv
from app.tasks.forecast.csv_query import CsvQuery
from app.tasks.forecast.schema import ForecastAnswer, ForecastRequest

# A table of this size is read in about ten milliseconds, which is as long as the loop may stand.
_INLINE_CSV_BYTES = 64 * 1024


class ForecastRoute(TaskRoute):
    """Reads ``text/csv`` as well."""

    task = "forecast"

    async def parse(
        self, model: type[BaseModel], content_type: str, body: bytes, request: Request
    ) -> BaseModel:
        """The request in ``body`` and, for CSV, in the query."""
        if content_type not in ("text/csv", "application/csv"):
            asked = request.query_params if request.scope["query_string"] else ()
            misplaced = [name for name in asked if name in CsvQuery.model_fields]
            if misplaced:
                raise InvalidInput(misplaced[0], f"with a JSON body, {misplaced[0]} belongs into the body")
            return await super().parse(model, content_type, body, request)
        query = query_of(request, CsvQuery)
        limits = edge_of(request).limits
        if len(body) <= _INLINE_CSV_BYTES:
            return read_csv(body, query, limits)
        return await asyncio.to_thread(read_csv, body, query, limits)


def _query_parameters() -> list[dict[str, Any]]:
    """The query for the documentation; JSON bodies carry all of it themselves."""
    schema = CsvQuery.model_json_schema(ref_template="#/components/schemas/{model}")
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": f"with a CSV body: {field.get('description', name)}",
            "schema": {"type": "integer" if name in ("horizon", "season") else "string"},
        }
        for name, field in schema["properties"].items()
    ]


router = APIRouter(route_class=ForecastRoute, tags=["inference"])


@router.post(
    "/forecast",
    response_model=ForecastAnswer,
    responses=PROBLEMS,
    openapi_extra={
        "parameters": _query_parameters(),
        "requestBody": {
            "content": {"text/csv": {"schema": {"type": "string"}, "examples": examples.FORECAST_CSV}}
        },
    },
)
async def forecast(
    body: Annotated[ForecastRequest, Body(openapi_examples=examples.FORECAST)], request: Request
) -> Response:
    """Forecast one series or many.

    Send `values` for one series or `series` for many, oldest observation first, `null` where one is
    missing. A `text/csv` body (header, an optional time column, one column per series) is the same
    request, with the horizon and the rest in the query.
    """
    answer, timing = await edge_of(request).service.forecast(body)
    return json_response(answer, timing)
