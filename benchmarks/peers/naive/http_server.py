"""FastAPI and ONNX Runtime as people write it: a model at import, a plain function as the route.

FORECASTER=folder uvicorn http_server:app --port 8000 --workers 2
"""

from __future__ import annotations

from fastapi import FastAPI
from forecaster import Forecaster
from pydantic import BaseModel

app = FastAPI()
forecaster = Forecaster()


class ForecastRequest(BaseModel):
    """One series."""

    values: list[float]
    horizon: int = 24
    freq: str = "h"


class ForecastResponse(BaseModel):
    """Its quantiles."""

    quantiles: dict[str, list[float]]


@app.post("/forecast")
def forecast(request: ForecastRequest) -> ForecastResponse:
    """Forecast one series."""
    return ForecastResponse(quantiles=forecaster.answer([request.values], request.horizon)[0])


@app.get("/healthz")
def health() -> dict[str, str]:
    """It serves."""
    return {"status": "ok"}
