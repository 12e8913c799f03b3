"""One served model version."""

from __future__ import annotations

from dataclasses import dataclass

from app.bundle.manifest import Manifest
from app.core.ports import Submitter
from app.tasks.forecast import ForecastTask
from app.tasks.forecast_stream import ForecastStream
from app.tasks.generate import GenerateTask
from app.tasks.sentiment import SentimentTask
from app.tasks.text_stream import GenerateStream, SentimentStream


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """One served model version."""

    manifest: Manifest
    task: ForecastTask | SentimentTask | GenerateTask
    stream: ForecastStream | SentimentStream | GenerateStream
    engine: Submitter
